// What the engine tells of itself; the server turns it into metrics and logs.
#ifndef TLIN_ENGINE_LISTENER_H_
#define TLIN_ENGINE_LISTENER_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "engine/session/session_shelf.h"
#include "engine/step_costs.h"
#include "engine/token_sink.h"

namespace tlin {

// A request's end, accepted requests only. Every accepted request gets one.
struct RequestEnd {
  absl::string_view request_id;
  // Set where it finished; otherwise `status` says what went wrong.
  std::optional<FinishReason> reason;
  absl::Status status;
  Usage usage;
  Timing timing;
  // Tokens that were made after the caller had gone.
  int64_t wasted_tokens = 0;
};

struct StepStats {
  int32_t decode_rows = 0;
  int32_t fill_rows = 0;
  int32_t sync_slices = 0;
  absl::Duration duration;  // of the model's run
};

// Gauges, as they stand after a step, a submission or a release.
struct EngineState {
  int64_t running = 0;  // sequences that hold a slot
  int64_t waiting = 0;
  absl::Duration oldest_waiting;
  int64_t slots = 0;
  int64_t slots_used = 0;
  int64_t slots_high_water = 0;
  // On a session a request waits or runs; or its state is in a slot; or not.
  int64_t sessions_active = 0;
  int64_t sessions_idle = 0;
  int64_t sessions_stored = 0;
  int64_t host_token_bytes = 0;  // token ids of all sequences and sessions
  int64_t host_state_bytes = 0;  // of sessions in host memory
  int64_t prefix_cache_bytes = 0;
  // Since the start: syncs that could have been shared, and those that were.
  int64_t prefix_cache_queries = 0;
  int64_t prefix_cache_hits = 0;
  int64_t history_bytes_used = 0;
  StepPrices step_prices;  // as they are known by now
};

// Engine thread only; must not block.
class EngineListener {
 public:
  virtual ~EngineListener() = default;

  virtual void OnStep(const StepStats& stats) = 0;
  virtual void OnState(const EngineState& state) = 0;
  // A sequence got a slot; time since it was submitted.
  virtual void OnAdmitted(absl::Duration queued, int64_t prompt_tokens) = 0;
  virtual void OnFirstToken(absl::Duration since_submission) = 0;
  // Between two tokens of one sequence.
  virtual void OnToken(absl::Duration since_previous) = 0;
  // A cache miss: from the window being full (or the prompt admitted) to the
  // next token; and the history tokens that were read.
  virtual void OnSync(absl::Duration duration, int64_t history_tokens) = 0;
  virtual void OnCacheHits(int64_t rows) = 0;
  // Of the session store; `ok`: without an error.
  virtual void OnStoreOperation(ShelfResult::Operation operation,
                                absl::Duration duration, bool ok) = 0;
  virtual void OnRequestEnd(const RequestEnd& end) = 0;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_LISTENER_H_
