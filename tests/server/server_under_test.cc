#include "tests/server/server_under_test.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/base/check.h"
#include "grpcpp/create_channel.h"

namespace tlin {

ServedModel LettersModel(const Tokenizer* tokenizer, Engine* engine) {
  ServedModel model;
  model.name = "letters";
  model.info.architecture = "tconstformer";
  model.info.device = "cpu";
  model.info.dtype = "f32";
  model.info.parameters = 123456789012;
  model.info.vocab_size = 28;
  model.info.slots = 4;
  model.info.max_context_tokens = 4096;
  model.config.architecture = Architecture::kTConstFormer;
  model.config.vocab_size = 28;
  model.config.n_embd = 24;
  model.config.n_head = 2;
  model.config.n_block = 2;
  model.config.block_depth = 4;
  model.config.history_window = 8;
  model.config.generation_window = 8;
  model.config.eos_token_id = 27;
  model.session_cache_bytes = 4711;
  model.max_sessions = 100;
  model.tokenizer = tokenizer;
  model.longest_token_bytes = LongestTokenBytes(tokenizer);
  model.engine = engine;
  return model;
}

ServerUnderTest::ServerUnderTest() {
  RpcServerOptions options;
  options.listen = "127.0.0.1:0";
  auto started =
      RpcServer::Start(options, &clock, &logger, &listener, credentials.get());
  TLIN_CHECK(started.ok());
  server = *std::move(started);
  stub = v1::Generation::NewStub(NewChannel());
}

ServerUnderTest::ServerUnderTest(Engine* engine, bool has_tokenizer)
    : ServerUnderTest() {
  Load(engine, has_tokenizer);
}

void ServerUnderTest::Load(Engine* engine, bool has_tokenizer) {
  model = LettersModel(has_tokenizer ? &tokenizer : nullptr, engine);
  server->SetModel(&model);
}

std::string ServerUnderTest::address() const {
  return absl::StrCat("127.0.0.1:", server->port());
}

std::shared_ptr<grpc::Channel> ServerUnderTest::NewChannel() const {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(
      address(), grpc::InsecureChannelCredentials(), arguments);
}

std::string HttpGet(int port, const std::string& path) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  TLIN_CHECK(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0);
  const std::string request = absl::StrCat("GET ", path, " HTTP/1.0\r\n\r\n");
  TLIN_CHECK(send(fd, request.data(), request.size(), MSG_NOSIGNAL) ==
             static_cast<ssize_t>(request.size()));
  std::string answer;
  char buffer[65536];
  for (ssize_t n; (n = recv(fd, buffer, sizeof(buffer), 0)) > 0;) {
    answer.append(buffer, static_cast<size_t>(n));
  }
  close(fd);
  return answer.substr(answer.find("\r\n\r\n") + 4);
}

double MetricValue(const std::string& scrape, const std::string& series) {
  for (absl::string_view line : absl::StrSplit(scrape, '\n')) {
    double value = 0;
    if (absl::StartsWith(line, series + " ") &&
        absl::SimpleAtod(line.substr(series.size() + 1), &value)) {
      return value;
    }
  }
  return -1;
}

}  // namespace tlin
