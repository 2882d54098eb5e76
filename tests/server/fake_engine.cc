#include "tests/server/fake_engine.h"

#include <algorithm>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/status_macros.h"

namespace tlin {

void FakeEngine::RefuseWith(const absl::Status& status) {
  absl::MutexLock lock(&mutex_);
  refusal_ = status;
}

void FakeEngine::SetTimeSinceProgress(absl::Duration time) {
  absl::MutexLock lock(&mutex_);
  stalled_ = time;
}

void FakeEngine::SetRetryDelay(absl::Duration delay) {
  absl::MutexLock lock(&mutex_);
  retry_ = delay;
}

FakeEngine::Call FakeEngine::Take() {
  absl::MutexLock lock(&mutex_);
  const auto there = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return calls_.size() > taken_;
  };
  TLIN_CHECK(
      mutex_.AwaitWithTimeout(absl::Condition(&there), absl::Minutes(1)));
  return std::move(calls_[taken_++]);
}

bool FakeEngine::WaitForCancel(const std::string& id) {
  absl::MutexLock lock(&mutex_);
  const auto there = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return std::count(cancelled_.begin(), cancelled_.end(), id) > 0;
  };
  return mutex_.AwaitWithTimeout(absl::Condition(&there), absl::Minutes(1));
}

absl::Status FakeEngine::Submit(Request request,
                                std::shared_ptr<TokenSink> sink) {
  TLIN_RETURN_IF_ERROR(ValidateRequest(request, limits_));
  absl::MutexLock lock(&mutex_);
  if (!refusal_.ok()) return refusal_;
  calls_.push_back({std::move(request), std::move(sink)});
  return absl::OkStatus();
}

void FakeEngine::Cancel(absl::string_view request_id) {
  absl::MutexLock lock(&mutex_);
  cancelled_.emplace_back(request_id);
}

void FakeEngine::BeginDrain() {
  RefuseWith(absl::UnavailableError("draining"));
}

absl::Duration FakeEngine::TimeSinceProgress() const {
  absl::MutexLock lock(&mutex_);
  return stalled_;
}

absl::Duration FakeEngine::RetryDelay() const {
  absl::MutexLock lock(&mutex_);
  return retry_;
}

}  // namespace tlin
