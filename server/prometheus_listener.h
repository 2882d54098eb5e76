// What happens, counted: the engine's events and the refusals before it as
// Prometheus counters and histograms. What merely stands is state_collector's.
#ifndef TLIN_SERVER_PROMETHEUS_LISTENER_H_
#define TLIN_SERVER_PROMETHEUS_LISTENER_H_

#include <array>
#include <atomic>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "engine/base/clock.h"
#include "engine/listener.h"
#include "prometheus/counter.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"
#include "server/outcome.h"

namespace tlin {

class PrometheusListener final : public EngineListener {
 public:
  // `model` is the label's value. `clock` outlives the listener.
  PrometheusListener(const std::string& model, Clock* clock);

  // What an exposer scrapes.
  const std::shared_ptr<prometheus::Registry>& registry() { return registry_; }

  // Any thread: a request that was received and never got into the engine.
  void OnRefused(const absl::Status& status);
  // Any thread.
  void SetDraining(bool draining) { draining_ = draining; }
  bool draining() const { return draining_; }
  // The last OnState, with oldest_waiting as it is now. Any thread.
  EngineState StateNow() const ABSL_LOCKS_EXCLUDED(mutex_);

  // EngineListener: engine thread.
  void OnStep(const StepStats& stats) override;
  void OnState(const EngineState& state) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnAdmitted(absl::Duration queued, int64_t prompt_tokens) override;
  void OnFirstToken(absl::Duration since_submission) override;
  void OnToken(absl::Duration since_previous) override;
  void OnSync(absl::Duration duration, int64_t history_tokens) override;
  void OnCacheHits(int64_t rows) override;
  void OnStoreOperation(ShelfResult::Operation operation,
                        absl::Duration duration, bool ok) override;
  void OnRequestEnd(const RequestEnd& end) override;

 private:
  using Labels = prometheus::Labels;
  prometheus::Counter* AddCounter(const char* name, const char* help,
                                  const Labels& more = {});
  prometheus::Histogram* AddHistogram(
      const char* name, const char* help,
      const prometheus::Histogram::BucketBoundaries& buckets,
      const Labels& more = {});

  // Constant after construction; the metrics themselves are thread-safe.
  const std::shared_ptr<prometheus::Registry> registry_;
  const std::string model_;
  Clock* const clock_;
  std::array<prometheus::Counter*, kOutcomes.size()> requests_;
  prometheus::Histogram* first_token_;
  prometheus::Histogram* inter_token_;
  prometheus::Histogram* request_duration_;
  prometheus::Histogram* queue_time_;
  prometheus::Histogram* sync_duration_;
  prometheus::Histogram* decode_step_;
  prometheus::Histogram* fill_step_;
  prometheus::Histogram* sync_step_;
  prometheus::Histogram* batch_rows_;
  prometheus::Counter* prompt_tokens_;
  prometheus::Counter* generated_tokens_;
  prometheus::Counter* cached_tokens_;
  prometheus::Counter* synced_tokens_;
  prometheus::Counter* wasted_tokens_;
  prometheus::Counter* cache_hits_;
  prometheus::Counter* cache_misses_;

  // [ShelfResult::Operation]
  std::array<prometheus::Histogram*, 7> store_seconds_;
  std::array<prometheus::Counter*, 7> store_errors_;

  std::atomic<bool> draining_{false};

  mutable absl::Mutex mutex_;
  EngineState state_ ABSL_GUARDED_BY(mutex_);
  absl::Time state_time_ ABSL_GUARDED_BY(mutex_);  // by clock_
};

}  // namespace tlin

#endif  // TLIN_SERVER_PROMETHEUS_LISTENER_H_
