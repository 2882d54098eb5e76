// Many Generate streams at once, on one thread and one connection.
#ifndef TLIN_CLIENT_LOAD_STREAMS_H_
#define TLIN_CLIENT_LOAD_STREAMS_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/channel.h"
#include "tlin/v1/generation.pb.h"

namespace tlin::client {

using SteadyTime = std::chrono::steady_clock::time_point;

// How one stream went.
struct StreamRecord {
  SteadyTime due;  // when it should have been sent
  SteadyTime sent;
  SteadyTime first_token;  // where generated_tokens is above 0
  SteadyTime end;
  std::vector<absl::Duration> gaps;  // between chunks that carry tokens
  int64_t prompt_tokens = 0;
  int64_t generated_tokens = 0;
  v1::Finished::Reason reason = v1::Finished::REASON_UNSPECIFIED;
  absl::Status status;  // OK only where the server said Finished
};

class LoadStreams {
 public:
  // `on_done` runs on the streams' thread, once for each stream started.
  LoadStreams(const Connection& connection,
              std::function<void(const StreamRecord&)> on_done);
  // Cancels what runs and waits for it.
  ~LoadStreams();
  LoadStreams(const LoadStreams&) = delete;
  LoadStreams& operator=(const LoadStreams&) = delete;

  // Thread-safe. The deadline is counted from now.
  void Start(const v1::GenerateRequest& request, SteadyTime due,
             absl::Duration deadline);
  // Those that run now end with CANCELLED. Thread-safe.
  void CancelAll();
  // Until on_done has returned for every stream started.
  void Wait();

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace tlin::client

#endif  // TLIN_CLIENT_LOAD_STREAMS_H_
