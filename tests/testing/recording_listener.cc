#include "tests/testing/recording_listener.h"

namespace tlin {
namespace {

std::string OutcomeName(const RequestEnd& end) {
  if (!end.reason.has_value()) {
    return absl::StatusCodeToString(end.status.code());
  }
  switch (*end.reason) {
    case FinishReason::kEos:
      return "eos";
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kDeadline:
      return "deadline";
    case FinishReason::kInterrupted:
      return "interrupted";
  }
  return "unknown";
}

}  // namespace

void RecordingListener::OnStep(const StepStats&) {
  absl::MutexLock lock(&mutex_);
  ++totals_.steps;
}

void RecordingListener::OnState(const EngineState& state) {
  absl::MutexLock lock(&mutex_);
  totals_.state = state;
}

void RecordingListener::OnAdmitted(absl::Duration, int64_t prompt_tokens) {
  absl::MutexLock lock(&mutex_);
  ++totals_.admitted;
  totals_.prompt_tokens += prompt_tokens;
}

void RecordingListener::OnFirstToken(absl::Duration) {
  absl::MutexLock lock(&mutex_);
  ++totals_.first_tokens;
}

void RecordingListener::OnToken(absl::Duration) {
  absl::MutexLock lock(&mutex_);
  ++totals_.later_tokens;
}

void RecordingListener::OnSync(absl::Duration, int64_t history_tokens) {
  absl::MutexLock lock(&mutex_);
  ++totals_.syncs;
  totals_.synced_tokens += history_tokens;
}

void RecordingListener::OnCacheHits(int64_t rows) {
  absl::MutexLock lock(&mutex_);
  totals_.cache_hits += rows;
}

void RecordingListener::OnStoreOperation(ShelfResult::Operation operation,
                                         absl::Duration, bool ok) {
  absl::MutexLock lock(&mutex_);
  switch (operation) {
    case ShelfResult::Operation::kPut:
      ++totals_.puts;
      break;
    case ShelfResult::Operation::kGet:
      ++totals_.gets;
      break;
    case ShelfResult::Operation::kDelete:
      ++totals_.deletes;
      break;
    case ShelfResult::Operation::kAcquire:
      ++totals_.acquires;
      break;
    case ShelfResult::Operation::kRenew:
      ++totals_.renewals;
      break;
    case ShelfResult::Operation::kRelease:
    case ShelfResult::Operation::kLook:
      break;
  }
  if (!ok) ++totals_.store_errors;
}

void RecordingListener::OnRequestEnd(const RequestEnd& end) {
  absl::MutexLock lock(&mutex_);
  ++totals_.ends;
  ++totals_.outcomes[OutcomeName(end)];
  totals_.wasted_tokens += end.wasted_tokens;
  ended_ids_.emplace_back(end.request_id);
}

ListenerTotals RecordingListener::totals() const {
  absl::MutexLock lock(&mutex_);
  return totals_;
}

std::vector<std::string> RecordingListener::ended_ids() const {
  absl::MutexLock lock(&mutex_);
  return ended_ids_;
}

}  // namespace tlin
