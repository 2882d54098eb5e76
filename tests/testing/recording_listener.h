// An EngineListener that adds up what it is told.
#ifndef TLIN_TESTS_TESTING_RECORDING_LISTENER_H_
#define TLIN_TESTS_TESTING_RECORDING_LISTENER_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "engine/listener.h"

namespace tlin {

struct ListenerTotals {
  int64_t steps = 0;
  int64_t admitted = 0;
  int64_t puts = 0;  // of the session store
  int64_t gets = 0;
  int64_t deletes = 0;
  int64_t acquires = 0;
  int64_t renewals = 0;
  int64_t store_errors = 0;
  int64_t prompt_tokens = 0;
  int64_t first_tokens = 0;
  int64_t later_tokens = 0;
  int64_t syncs = 0;
  int64_t synced_tokens = 0;
  int64_t cache_hits = 0;
  int64_t ends = 0;
  int64_t wasted_tokens = 0;
  // eos, stop, length, deadline, interrupted, or the status code's name.
  std::map<std::string, int64_t> outcomes;
  EngineState state;  // the last one
};

// Thread-safe.
class RecordingListener final : public EngineListener {
 public:
  void OnStep(const StepStats& stats) override;
  void OnState(const EngineState& state) override;
  void OnAdmitted(absl::Duration queued, int64_t prompt_tokens) override;
  void OnFirstToken(absl::Duration since_submission) override;
  void OnToken(absl::Duration since_previous) override;
  void OnSync(absl::Duration duration, int64_t history_tokens) override;
  void OnCacheHits(int64_t rows) override;
  void OnStoreOperation(ShelfResult::Operation operation,
                        absl::Duration duration, bool ok) override;
  void OnRequestEnd(const RequestEnd& end) override;

  ListenerTotals totals() const;
  // Request ids in the order of their ends.
  std::vector<std::string> ended_ids() const;

 private:
  mutable absl::Mutex mutex_;
  ListenerTotals totals_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> ended_ids_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tlin

#endif  // TLIN_TESTS_TESTING_RECORDING_LISTENER_H_
