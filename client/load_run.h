// Runs a load to its end and counts.
#ifndef TLIN_CLIENT_LOAD_RUN_H_
#define TLIN_CLIENT_LOAD_RUN_H_

#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/latency_histogram.h"
#include "client/load_arrivals.h"
#include "client/load_flags.h"
#include "client/load_prompts.h"
#include "client/load_streams.h"

namespace tlin::client {

// Latencies are those of requests that ended well. They count from when a
// request was *due*: in an open loop the arrival drawn beforehand, so a server
// (or a load generator) that falls behind cannot hide the waiting it causes.
struct LoadResult {
  int64_t started = 0;
  int64_t ok = 0;
  std::map<std::string, int64_t> outcomes;  // by status code
  std::map<std::string, int64_t> reasons;  // by Finished.reason, of the ok ones
  absl::Status first_error;
  bool interrupted = false;
  absl::Duration wall;  // from the start to the last stream's end

  LatencyHistogram first_token;
  LatencyHistogram inter_token;  // between chunks that carry tokens
  LatencyHistogram total;
  LatencyHistogram send_lag;  // due to sent: the generator's own share
  // Of all streams, however they ended.
  int64_t prompt_tokens = 0;
  int64_t generated_tokens = 0;
};

class LoadRun {
 public:
  LoadRun(const LoadOptions& options, const LoadPrompts& prompts);

  // Blocks until the last stream has ended. Starts at most options.requests and
  // none from options.duration on. Once only.
  LoadResult Run();

  // Makes Run() cancel what runs, and return. Thread-safe.
  void Stop();

 private:
  // Both wait until the next request is due; nullopt: there is none any more.
  std::optional<SteadyTime> NextArrival();
  std::optional<SteadyTime> NextSlot();
  // On the streams' thread.
  void OnDone(const StreamRecord& record);
  void Count(const StreamRecord& record);
  bool stopped();

  const LoadOptions options_;
  const LoadPrompts prompts_;
  SteadyTime start_;  // set by Run() before any stream
  SteadyTime end_;
  PoissonArrivals arrivals_;  // of Run()'s thread
  LoadResult result_;         // of the streams' thread until all have ended
  SteadyTime last_end_;       // likewise

  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  bool stop_ = false;
  std::multiset<SteadyTime> slots_;  // closed loop: when each is free again

  LoadStreams streams_;  // last: its thread uses the rest
};

}  // namespace tlin::client

#endif  // TLIN_CLIENT_LOAD_RUN_H_
