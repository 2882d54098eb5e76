#include "server/prometheus_listener.h"

#include <utility>

#include "prometheus/family.h"

namespace tlin {
namespace {

using Buckets = prometheus::Histogram::BucketBoundaries;

// Seconds. A fast model makes a token in less than a millisecond, a long
// prompt takes minutes.
const Buckets& LatencyBuckets() {
  static const auto* buckets =
      new Buckets{50e-6, 100e-6, 200e-6, 350e-6, 500e-6, 750e-6, 1e-3,  1.5e-3,
                  2e-3,  3e-3,   5e-3,   7.5e-3, 10e-3,  15e-3,  20e-3, 30e-3,
                  50e-3, 75e-3,  0.1,    0.15,   0.25,   0.5,    1.0,   2.5,
                  5.0,   10.0,   20.0,   30.0,   60.0,   120.0,  300.0};
  return *buckets;
}

const Buckets& RowBuckets() {
  static const auto* buckets = new Buckets{1,  2,  4,  6,  8,   12,  16,  24,
                                           32, 48, 64, 96, 128, 192, 256, 512};
  return *buckets;
}

// In the order of ShelfResult::Operation.
constexpr const char* kStoreOperations[] = {
    "put", "get", "delete", "acquire", "renew", "release", "look"};

}  // namespace

PrometheusListener::PrometheusListener(const std::string& model, Clock* clock)
    : registry_(std::make_shared<prometheus::Registry>()),
      model_(model),
      clock_(clock),
      state_time_(clock->Now()) {
  for (const Outcome outcome : kOutcomes) {
    requests_[static_cast<size_t>(outcome)] = AddCounter(
        "tlin_requests_total",
        "Generate and Score requests by how they ended; the sum over outcomes "
        "is the number of requests received.",
        {{"outcome", OutcomeName(outcome)}});
  }
  first_token_ =
      AddHistogram("tlin_time_to_first_token_seconds",
                   "From submission to the first new token.", LatencyBuckets());
  inter_token_ =
      AddHistogram("tlin_inter_token_latency_seconds",
                   "Between two new tokens of one sequence.", LatencyBuckets());
  request_duration_ = AddHistogram(
      "tlin_request_duration_seconds",
      "From submission to the end, of requests the engine accepted.",
      LatencyBuckets());
  queue_time_ =
      AddHistogram("tlin_queue_time_seconds",
                   "From submission to getting a slot.", LatencyBuckets());
  sync_duration_ = AddHistogram(
      "tlin_sync_duration_seconds",
      "A cache miss: wall time from the window being full to the next token.",
      LatencyBuckets());
  constexpr char kStepName[] = "tlin_step_duration_seconds";
  constexpr char kStepHelp[] =
      "One step of the model, by its heaviest part: decode, fill (prompts) or "
      "sync.";
  decode_step_ = AddHistogram(kStepName, kStepHelp, LatencyBuckets(),
                              {{"phase", "decode"}});
  fill_step_ =
      AddHistogram(kStepName, kStepHelp, LatencyBuckets(), {{"phase", "fill"}});
  sync_step_ =
      AddHistogram(kStepName, kStepHelp, LatencyBuckets(), {{"phase", "sync"}});
  batch_rows_ =
      AddHistogram("tlin_batch_rows",
                   "Decoding sequences in a step that has any.", RowBuckets());
  prompt_tokens_ = AddCounter("tlin_prompt_tokens_total",
                              "Prompt tokens of requests that got a slot.");
  generated_tokens_ =
      AddCounter("tlin_generated_tokens_total", "New tokens made.");
  cached_tokens_ = AddCounter(
      "tlin_cached_tokens_total",
      "Prompt tokens that came from a state kept before, of ended requests.");
  synced_tokens_ =
      AddCounter("tlin_synced_tokens_total", "History tokens that syncs read.");
  wasted_tokens_ = AddCounter("tlin_wasted_tokens_total",
                              "New tokens made for a client already gone.");
  cache_hits_ = AddCounter("tlin_cache_hits_total",
                           "Steps of a sequence that needed no sync.");
  cache_misses_ =
      AddCounter("tlin_cache_misses_total", "Steps of a sequence that synced.");
  for (size_t i = 0; i < store_seconds_.size(); ++i) {
    const Labels op = {{"op", kStoreOperations[i]}};
    store_seconds_[i] = AddHistogram(
        "tlin_session_store_seconds",
        "An operation of the session store, with encoding and decoding.",
        LatencyBuckets(), op);
    store_errors_[i] =
        AddCounter("tlin_session_store_errors_total",
                   "Operations of the session store that failed.", op);
  }
}

prometheus::Counter* PrometheusListener::AddCounter(const char* name,
                                                    const char* help,
                                                    const Labels& more) {
  Labels labels = more;
  labels["model"] = model_;
  return &prometheus::BuildCounter()
              .Name(name)
              .Help(help)
              .Register(*registry_)
              .Add(labels);
}

prometheus::Histogram* PrometheusListener::AddHistogram(const char* name,
                                                        const char* help,
                                                        const Buckets& buckets,
                                                        const Labels& more) {
  Labels labels = more;
  labels["model"] = model_;
  return &prometheus::BuildHistogram()
              .Name(name)
              .Help(help)
              .Register(*registry_)
              .Add(labels, buckets);
}

void PrometheusListener::OnRefused(const absl::Status& status) {
  requests_[static_cast<size_t>(OutcomeOfRefusal(status))]->Increment();
}

EngineState PrometheusListener::StateNow() const {
  const absl::Time now = clock_->Now();
  absl::MutexLock lock(&mutex_);
  EngineState state = state_;
  if (state.waiting > 0) state.oldest_waiting += now - state_time_;
  return state;
}

void PrometheusListener::OnState(const EngineState& state) {
  const absl::Time now = clock_->Now();
  absl::MutexLock lock(&mutex_);
  state_ = state;
  state_time_ = now;
}

void PrometheusListener::OnStep(const StepStats& stats) {
  const double seconds = absl::ToDoubleSeconds(stats.duration);
  if (stats.sync_slices > 0) {
    sync_step_->Observe(seconds);
  } else if (stats.fill_rows > 0) {
    fill_step_->Observe(seconds);
  } else {
    decode_step_->Observe(seconds);
  }
  if (stats.decode_rows > 0) batch_rows_->Observe(stats.decode_rows);
}

void PrometheusListener::OnAdmitted(absl::Duration queued,
                                    int64_t prompt_tokens) {
  queue_time_->Observe(absl::ToDoubleSeconds(queued));
  prompt_tokens_->Increment(static_cast<double>(prompt_tokens));
}

void PrometheusListener::OnFirstToken(absl::Duration since_submission) {
  first_token_->Observe(absl::ToDoubleSeconds(since_submission));
  generated_tokens_->Increment();
}

void PrometheusListener::OnToken(absl::Duration since_previous) {
  inter_token_->Observe(absl::ToDoubleSeconds(since_previous));
  generated_tokens_->Increment();
}

void PrometheusListener::OnSync(absl::Duration duration,
                                int64_t history_tokens) {
  sync_duration_->Observe(absl::ToDoubleSeconds(duration));
  synced_tokens_->Increment(static_cast<double>(history_tokens));
  cache_misses_->Increment();
}

void PrometheusListener::OnCacheHits(int64_t rows) {
  cache_hits_->Increment(static_cast<double>(rows));
}

void PrometheusListener::OnStoreOperation(ShelfResult::Operation operation,
                                          absl::Duration duration, bool ok) {
  const auto index = static_cast<size_t>(operation);
  store_seconds_[index]->Observe(absl::ToDoubleSeconds(duration));
  if (!ok) store_errors_[index]->Increment();
}

void PrometheusListener::OnRequestEnd(const RequestEnd& end) {
  requests_[static_cast<size_t>(OutcomeOfEnd(end))]->Increment();
  request_duration_->Observe(absl::ToDoubleSeconds(end.timing.total));
  cached_tokens_->Increment(static_cast<double>(end.usage.cached_tokens));
  wasted_tokens_->Increment(static_cast<double>(end.wasted_tokens));
}

}  // namespace tlin
