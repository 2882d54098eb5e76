// A server on a free port that says what the test tells it to.
#ifndef TLIN_TESTS_CLIENT_FAKE_SERVER_H_
#define TLIN_TESTS_CLIENT_FAKE_SERVER_H_

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tlin/v1/generation.pb.h"

namespace tlin::client {

// How a fake call ends. `details` are the bytes of grpc-status-details-bin.
struct FakeEnd {
  absl::StatusCode code = absl::StatusCode::kOk;
  std::string message;
  std::string details;
};

// google.rpc.Status with a RetryInfo.
std::string RetryDetails(absl::Duration delay);

// One Generate call, on a thread of its own.
class FakeCall {
 public:
  virtual ~FakeCall() = default;
  virtual const v1::GenerateRequest& request() const = 0;
  // False where the client is gone. Blocks until the client's side has room.
  virtual bool Send(const v1::GenerateResponse& event) = 0;
  // Until the client has cancelled or its deadline has passed.
  virtual void WaitUntilCancelled() = 0;
  // What the client lets the call take; infinite without a deadline.
  virtual absl::Duration time_left() const = 0;
};

class FakeServer {
 public:
  // What the methods do; set before the first call of each. By default Generate
  // continues anything with "Hello, world!", the others echo something simple.
  struct Script {
    std::function<FakeEnd(FakeCall&)> generate;
    std::function<FakeEnd(const v1::ScoreRequest&, v1::ScoreResponse*)> score;
    std::function<FakeEnd(const v1::TokenizeRequest&, v1::TokenizeResponse*)>
        tokenize;
    std::function<FakeEnd(const v1::DetokenizeRequest&,
                          v1::DetokenizeResponse*)>
        detokenize;
    std::function<FakeEnd(const v1::GetModelRequest&, v1::Model*)> get_model;
  };

  FakeServer();
  // Cancels what runs and waits for it.
  ~FakeServer();
  FakeServer(const FakeServer&) = delete;
  FakeServer& operator=(const FakeServer&) = delete;

  Script script;
  // Starts the server, the first time: what the script says by then is seen by
  // its threads.
  const std::string& address();
  // In the answers of grpc.health.v1.
  void SetServing(const std::string& service, bool serving);

 private:
  void Start();

  class Impl;
  std::string address_;
  std::unique_ptr<Impl> impl_;  // null until the server is started
};

// Events as the server makes them.
v1::GenerateResponse StartedEvent(int64_t prompt_tokens);
v1::GenerateResponse ChunkEvent(const std::string& text,
                                std::initializer_list<int32_t> ids);
v1::GenerateResponse FinishedEvent(v1::Finished::Reason reason,
                                   int64_t generated_tokens);

// An address where nobody listens.
std::string UnusedAddress();

}  // namespace tlin::client

#endif  // TLIN_TESTS_CLIENT_FAKE_SERVER_H_
