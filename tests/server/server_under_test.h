// A gRPC server on a free port over an engine that the test brings.
#ifndef TLIN_TESTS_SERVER_SERVER_UNDER_TEST_H_
#define TLIN_TESTS_SERVER_SERVER_UNDER_TEST_H_

#include <memory>
#include <string>
#include <vector>

#include "engine/base/clock.h"
#include "grpcpp/channel.h"
#include "server/credentials.h"
#include "server/prometheus_listener.h"
#include "server/rpc_server.h"
#include "server/served_model.h"
#include "tests/testing/silent_logger.h"
#include "tests/testing/tiny_tokenizer.h"
#include "tlin/v1/generation.grpc.pb.h"

namespace tlin {

// The model that all tests of the server serve: letters, and 4096 tokens.
ServedModel LettersModel(const Tokenizer* tokenizer, Engine* engine);

// Members are torn down in reverse; the engine outlives it all.
struct ServerUnderTest {
  // `tokenizer`: null for a model of token ids only. Not loaded until Load.
  ServerUnderTest();
  explicit ServerUnderTest(Engine* engine, bool has_tokenizer = true);

  void Load(Engine* engine, bool has_tokenizer = true);
  std::string address() const;
  // A connection of its own.
  std::shared_ptr<grpc::Channel> NewChannel() const;

  MonotonicClock clock;
  SilentLogger logger;
  PrometheusListener listener{"letters", &clock};
  const std::unique_ptr<Credentials> credentials =
      *Credentials::Open({}, &clock, &logger);
  const TinyTokenizer tokenizer = TinyTokenizer::Letters();
  ServedModel model;
  std::unique_ptr<RpcServer> server;
  std::unique_ptr<v1::Generation::Stub> stub;
};

// The answer's body. Plain HTTP/1.0 over a socket.
std::string HttpGet(int port, const std::string& path);

// Values of the text format: `series` is name and labels as printed. -1 where
// there is no such line.
double MetricValue(const std::string& scrape, const std::string& series);

}  // namespace tlin

#endif  // TLIN_TESTS_SERVER_SERVER_UNDER_TEST_H_
