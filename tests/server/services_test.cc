// Score, the unary calls, malformed bytes, ports, limits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include "client/rpc_status.h"
#include "grpcpp/client_context.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/support/byte_buffer.h"
#include "server/metrics_server.h"
#include "tests/server/fake_engine.h"
#include "tests/server/server_under_test.h"

namespace tlin {
namespace {

using ::testing::HasSubstr;

class ServicesTest : public ::testing::Test {
 protected:
  FakeEngine engine_{{28, 4096, 4096, true, 27}};
  ServerUnderTest server_{&engine_};
};

// A Score call whose client waits on a thread.
struct ScoreClient {
  explicit ScoreClient(v1::Generation::Stub* stub)
      : thread([this, stub] {
          v1::ScoreRequest request;
          request.set_text("abc");
          status =
              client::FromGrpcStatus(stub->Score(&context, request, &response));
        }) {}
  ~ScoreClient() {
    if (thread.joinable()) thread.join();
  }

  grpc::ClientContext context;
  v1::ScoreResponse response;
  absl::Status status;
  std::thread thread;
};

TEST_F(ServicesTest, ScoreAnswersOnceWithAllTokens) {
  ScoreClient call(server_.stub.get());
  const FakeEngine::Call seen = engine_.Take();
  EXPECT_EQ(seen.request.kind, Request::Kind::kScore);
  seen.sink->OnStarted({3, 0, 0});
  seen.sink->OnChunk({"", {1}, {{1, -1.0f, 2, {}}}});
  seen.sink->OnChunk({"", {2}, {{2, -2.0f, 5, {}}}});
  seen.sink->OnFinished({});
  call.thread.join();
  ASSERT_TRUE(call.status.ok()) << call.status;
  ASSERT_EQ(call.response.tokens_size(), 2);
  EXPECT_EQ(call.response.tokens(1).rank(), 5);
  EXPECT_DOUBLE_EQ(call.response.negative_log_likelihood(), 3.0);
  EXPECT_DOUBLE_EQ(call.response.perplexity(), std::exp(1.5));
}

TEST_F(ServicesTest, ScoreEndsWithTheEnginesError) {
  ScoreClient call(server_.stub.get());
  engine_.Take().sink->OnError(absl::InternalError("no"));
  call.thread.join();
  EXPECT_EQ(call.status.code(), absl::StatusCode::kInternal);
}

TEST_F(ServicesTest, HalfAScoreIsNone) {
  ScoreClient call(server_.stub.get());
  Finished finished;
  finished.reason = FinishReason::kDeadline;
  engine_.Take().sink->OnFinished(finished);
  call.thread.join();
  EXPECT_EQ(call.status.code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(ServicesTest, ScoreIsCancelled) {
  ScoreClient call(server_.stub.get());
  const FakeEngine::Call seen = engine_.Take();
  call.context.TryCancel();
  ASSERT_TRUE(engine_.WaitForCancel(seen.request.id));
  seen.sink->OnError(absl::CancelledError(""));
  call.thread.join();
  EXPECT_EQ(call.status.code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(server_.server->WaitForCalls(absl::Minutes(1)));
}

TEST_F(ServicesTest, UnaryCallsAnswer) {
  grpc::ClientContext one;
  v1::TokenizeRequest tokenize;
  tokenize.set_text("ab");
  v1::TokenizeResponse tokens;
  ASSERT_TRUE(server_.stub->Tokenize(&one, tokenize, &tokens).ok());
  EXPECT_EQ(tokens.token_ids_size(), 2);
  grpc::ClientContext two;
  v1::DetokenizeRequest detokenize;
  *detokenize.mutable_token_ids() = tokens.token_ids();
  v1::DetokenizeResponse text;
  ASSERT_TRUE(server_.stub->Detokenize(&two, detokenize, &text).ok());
  EXPECT_EQ(text.text(), "ab");
  grpc::ClientContext three;
  v1::Model model;
  ASSERT_TRUE(server_.stub->GetModel(&three, {}, &model).ok());
  EXPECT_EQ(model.name(), "letters");
  grpc::ClientContext four;
  v1::GetModelRequest other;
  other.set_model("gpt");
  EXPECT_EQ(server_.stub->GetModel(&four, other, &model).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

// What the server says to `bytes` sent as a request of `method`.
grpc::Status Send(const std::shared_ptr<grpc::Channel>& channel,
                  const std::string& method, const std::string& bytes) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  const grpc::Slice slice(bytes);
  const grpc::ByteBuffer request(&slice, 1);
  grpc::ByteBuffer response;
  grpc::Status status;
  auto call = stub.PrepareUnaryCall(&context, "/tlin.v1.Generation/" + method,
                                    request, &queue);
  call->StartCall();
  call->Finish(&response, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  return status;
}

TEST_F(ServicesTest, BytesThatAreNoMessageAreInvalidEverywhere) {
  const auto channel = server_.NewChannel();
  for (const char* method :
       {"Generate", "Score", "Tokenize", "Detokenize", "GetModel"}) {
    const grpc::Status status = Send(channel, method, "\xff\xff\xff\xff");
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_THAT(status.error_message(), HasSubstr("not a valid tlin.v1."));
  }
  // Field 1, one byte that is no character.
  EXPECT_EQ(Send(channel, "GetModel", "\x0a\x01\xff").error_message(),
            "model is not valid UTF-8");
  EXPECT_EQ(Send(channel, "NoSuchMethod", "").error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
}

TEST_F(ServicesTest, MessagesBeyondTheLimitAreInvalidAndCounted) {
  const auto channel = server_.NewChannel();
  const std::string long_message((16 << 20) + 1, 'x');
  for (const char* method : {"Generate", "Score", "Tokenize"}) {
    const grpc::Status status = Send(channel, method, long_message);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(status.error_message(),
              "the request has 16777217 bytes: --max_message_bytes is "
              "16777216");
  }
  ASSERT_TRUE(server_.server->WaitForCalls(absl::Minutes(1)));
  EXPECT_EQ(server_.logger.lines().size(), 2u) << "of Generate and Score";
}

TEST_F(ServicesTest, RequestsThatWaitDoNotUseUpTheQuotaOfWhatArrives) {
  // A field that the server does not know, as a newer client might send: 8 MB.
  v1::GenerateRequest request;
  request.set_text("abc");
  std::string message = request.SerializeAsString();
  message += "\xfa\x3f";  // field 1023
  message += std::string("\x80\x80\x80\x04", 4) + std::string(8 << 20, 'x');
  constexpr int kCalls = 24;  // 192 MB in all; the quota is 128 MB
  std::vector<std::thread> clients;
  std::vector<FakeEngine::Call> calls;
  for (int i = 0; i < kCalls; ++i) {
    clients.emplace_back([&] {
      const grpc::Status status =
          Send(server_.NewChannel(), "Generate", message);
      EXPECT_EQ(status.error_code(), grpc::StatusCode::INTERNAL);
    });
    calls.push_back(engine_.Take());
  }
  for (const auto& call : calls) call.sink->OnError(absl::InternalError(""));
  for (std::thread& client : clients) client.join();
}

MetricsServerOptions MetricsOn(const std::string& address) {
  MetricsServerOptions options;
  options.listen = address;
  return options;
}

TEST_F(ServicesTest, ATakenPortIsAnErrorThatNamesIt) {
  RpcServerOptions options;
  options.listen = server_.address();
  const auto second =
      RpcServer::Start(options, &server_.clock, &server_.logger,
                       &server_.listener, server_.credentials.get());
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr("--listen=" + server_.address()));

  const auto metrics = MetricsServer::Start(MetricsOn("127.0.0.1:0"));
  ASSERT_TRUE(metrics.ok()) << metrics.status();
  const std::string taken = "127.0.0.1:" + std::to_string((*metrics)->port());
  const auto again = MetricsServer::Start(MetricsOn(taken));
  ASSERT_FALSE(again.ok());
  EXPECT_THAT(std::string(again.status().message()),
              HasSubstr("--metrics_listen=" + taken));
}

TEST_F(ServicesTest, EveryCallLeavesOneLogLineWithItsId) {
  ScoreClient call(server_.stub.get());
  const FakeEngine::Call seen = engine_.Take();
  seen.sink->OnError(absl::InternalError("no"));
  call.thread.join();
  ASSERT_TRUE(server_.server->WaitForCalls(absl::Minutes(1)));
  const std::vector<std::string> lines = server_.logger.lines();
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_THAT(lines[0], HasSubstr(seen.request.id));
  EXPECT_THAT(lines[0], HasSubstr("\"severity\":\"error\""));
}

}  // namespace
}  // namespace tlin
