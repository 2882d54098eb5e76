#include "engine/inbox.h"

#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"

namespace tlin {

Inbox::Inbox(int32_t max_waiting, Clock* clock)
    : max_waiting_(max_waiting), clock_(clock) {
  TLIN_CHECK(max_waiting >= 1);
}

absl::Status Inbox::Submit(Request request, std::shared_ptr<TokenSink> sink) {
  const absl::Time now = clock_->Now();
  auto wish = std::make_shared<std::atomic<CallerWish>>(CallerWish::kGoOn);
  absl::MutexLock lock(&mutex_);
  TLIN_RETURN_IF_ERROR(CheckOpen());
  if (waiting_ >= max_waiting_) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the queue is full: ", waiting_, " requests wait"));
  }
  if (live_.empty()) last_progress_ = now;
  if (!live_.emplace(request.id, wish).second) {
    return absl::InvalidArgumentError(
        absl::StrCat("id: request ", request.id, " has not ended yet"));
  }
  ++waiting_;
  arrived_.tickets.push_back(
      {std::move(request), std::move(sink), now, std::move(wish)});
  return absl::OkStatus();
}

absl::Status Inbox::CheckOpen() const {
  if (!draining_ && !stopping_) return absl::OkStatus();
  return absl::UnavailableError("draining: no new requests are taken");
}

absl::Status Inbox::Post(Command command, SessionScope scope) {
  absl::MutexLock lock(&mutex_);
  TLIN_RETURN_IF_ERROR(CheckOpen());
  arrived_.commands.push_back({std::move(scope), std::move(command)});
  return absl::OkStatus();
}

void Inbox::Deliver(ShelfResult result) {
  absl::MutexLock lock(&mutex_);
  arrived_.results.push_back(std::move(result));
}

void Inbox::Cancel(absl::string_view request_id) {
  absl::MutexLock lock(&mutex_);
  const auto it = live_.find(request_id);
  if (it == live_.end()) return;
  it->second->store(CallerWish::kCancel, std::memory_order_relaxed);
}

void Inbox::Interrupt(absl::string_view request_id) {
  absl::MutexLock lock(&mutex_);
  const auto it = live_.find(request_id);
  if (it == live_.end()) return;
  // Under the lock there is no other writer.
  if (it->second->load(std::memory_order_relaxed) == CallerWish::kGoOn) {
    it->second->store(CallerWish::kInterrupt, std::memory_order_relaxed);
  }
}

void Inbox::BeginDrain() {
  absl::MutexLock lock(&mutex_);
  draining_ = true;
}

void Inbox::Stop() {
  absl::MutexLock lock(&mutex_);
  stopping_ = true;
}

bool Inbox::WaitUntilIdle(absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(
      absl::Condition(
          +[](Inbox* inbox) ABSL_SHARED_LOCKS_REQUIRED(inbox->mutex_) {
            return inbox->live_.empty();
          },
          this),
      timeout);
}

absl::Duration Inbox::TimeSinceProgress() const {
  const absl::Time now = clock_->Now();
  absl::MutexLock lock(&mutex_);
  if (live_.empty()) return absl::ZeroDuration();
  return std::max(now - last_progress_, absl::ZeroDuration());
}

int32_t Inbox::waiting() const {
  absl::MutexLock lock(&mutex_);
  return waiting_;
}

bool Inbox::Take(bool busy, Mail* mail) {
  const auto move = [](auto* from, auto* to) {
    std::move(from->begin(), from->end(), std::back_inserter(*to));
    from->clear();
  };
  absl::MutexLock lock(&mutex_);
  if (!busy) mutex_.Await(absl::Condition(this, &Inbox::HasNews));
  last_progress_ = clock_->Now();
  move(&arrived_.tickets, &mail->tickets);
  move(&arrived_.commands, &mail->commands);
  move(&arrived_.results, &mail->results);
  return !stopping_;
}

void Inbox::LeaveQueue() {
  absl::MutexLock lock(&mutex_);
  TLIN_CHECK(waiting_ > 0);
  --waiting_;
}

void Inbox::End(const std::string& request_id) {
  absl::MutexLock lock(&mutex_);
  TLIN_CHECK(live_.erase(request_id) == 1);
}

}  // namespace tlin
