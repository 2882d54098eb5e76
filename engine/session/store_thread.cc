#include "engine/session/store_thread.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace tlin {
namespace {

// A write that failed is tried again after these, doubled each time.
constexpr absl::Duration kFirstRetry = absl::Seconds(1);
constexpr int kMostDoublings = 6;
// The same of a lease that another process has: 10, 20 ... 640 ms.
constexpr absl::Duration kFirstWait = absl::Milliseconds(10);
constexpr int kMostWaits = 7;
// A lease is renewed after this part of its time, or a failed renewal again.
constexpr int kRenewals = 3;
constexpr absl::Duration kRenewAgain = absl::Milliseconds(500);
// The clock may be one that stands still and is moved: it is looked at again.
constexpr absl::Duration kLookAgain = absl::Milliseconds(20);

}  // namespace

StoreThread::StoreThread(SessionStore* store, const ModelRunner* model,
                         Clock* clock, std::function<void(ShelfResult)> done)
    : store_(store),
      model_(model),
      clock_(clock),
      done_(std::move(done)),
      thread_([this] { Run(); }) {}

StoreThread::~StoreThread() {
  {
    absl::MutexLock lock(&mutex_);
    ending_ = true;
  }
  thread_.join();
}

void StoreThread::Put(const std::string& id, uint64_t version,
                      Snapshot snapshot) {
  Operation operation{Kind::kPut, id};
  operation.version = version;
  operation.snapshot = std::move(snapshot);
  Add(id, std::move(operation));
}

void StoreThread::Get(const std::string& id) { Add(id, {Kind::kGet, id}); }

void StoreThread::Delete(const std::string& id) {
  Add(id, {Kind::kDelete, id});
}

void StoreThread::Acquire(const std::string& id, const std::string& known) {
  Operation operation{Kind::kAcquire, id};
  operation.known = known;
  Add(id, std::move(operation));
}

void StoreThread::Release(const std::string& id) {
  {
    absl::MutexLock lock(&mutex_);
    const auto at = waiting_.find(id);
    if (at != waiting_.end() &&
        (at->second.kind == Kind::kPut || at->second.kind == Kind::kDelete)) {
      at->second.release = true;
      return;
    }
  }
  Add(id, {Kind::kRelease, id});
}

void StoreThread::Look(const std::string& id) {
  Add(absl::StrCat("look:", id), {Kind::kLook, id});
}

void StoreThread::Add(const std::string& key, Operation operation) {
  absl::MutexLock lock(&mutex_);
  const auto [at, is_new] = waiting_.try_emplace(key);
  at->second = std::move(operation);
  if (is_new) order_.push_back(key);
}

bool StoreThread::WaitUntilIdle(absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(this, &StoreThread::IsIdle),
                                 timeout);
}

bool StoreThread::WaitUntilDone(absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(this, &StoreThread::IsDone),
                                 timeout);
}

absl::Time StoreThread::NextDue() const {
  absl::Time next = absl::InfiniteFuture();
  for (const auto& [key, operation] : waiting_) {
    next = std::min(next, operation.due);
  }
  for (const auto& [id, due] : renewals_) next = std::min(next, due);
  return next;
}

bool StoreThread::TakeDue(absl::Time now, Operation* operation) {
  // Renewals first: a lease must not run out behind what is slow.
  for (auto& [id, due] : renewals_) {
    if (due > now || ending_) continue;
    due = absl::InfiniteFuture();  // until ScheduleRenewal
    *operation = {Kind::kRenew, id};
    return true;
  }
  for (auto key = order_.begin(); key != order_.end(); ++key) {
    const auto at = waiting_.find(*key);
    if (at->second.due > now && !ending_) continue;
    *operation = std::move(at->second);
    waiting_.erase(at);
    order_.erase(key);
    return true;
  }
  return false;
}

bool StoreThread::TakeNext(Operation* operation) {
  absl::MutexLock lock(&mutex_);
  running_ = false;
  for (;;) {
    if (TakeDue(clock_->Now(), operation)) {
      running_ = true;
      return true;
    }
    if (ending_) return false;
    const absl::Time next = NextDue();
    mutex_.AwaitWithTimeout(absl::Condition(this, &StoreThread::HasDue),
                            next == absl::InfiniteFuture()
                                ? absl::InfiniteDuration()
                                : std::clamp(next - clock_->Now(),
                                             absl::ZeroDuration(), kLookAgain));
  }
}

void StoreThread::Run() {
  Operation operation;
  while (TakeNext(&operation)) {
    ShelfResult result = RunOne(operation);
    ScheduleRenewal(result);
    const bool again = TryAgain(std::move(operation), result);
    // Nobody is told of a lease that is only waited for.
    if (!again || result.operation != Kind::kAcquire) done_(std::move(result));
  }
}

bool StoreThread::TryAgain(Operation operation, const ShelfResult& result) {
  const absl::Status& status = result.snapshot.status();
  absl::Duration delay = kFirstRetry;
  int doublings = std::min(operation.failures, kMostDoublings);
  switch (operation.kind) {
    case Kind::kPut:
    case Kind::kDelete:
    case Kind::kRelease:
      if (status.ok() && operation.release && !result.released) {
        operation = {Kind::kRelease, operation.id};  // what is left of it
      } else if (status.ok() || absl::IsAborted(status)) {
        return false;
      }
      break;
    case Kind::kAcquire:
      if (!absl::IsFailedPrecondition(status)) return false;
      if (operation.failures >= kMostWaits) return false;
      delay = kFirstWait;
      doublings = operation.failures;
      break;
    default:
      return false;
  }
  ++operation.failures;
  operation.due = clock_->Now() + delay * (1 << doublings);
  absl::MutexLock lock(&mutex_);
  if (ending_) return false;
  const auto [at, is_new] = waiting_.try_emplace(operation.id);
  if (is_new) {
    order_.push_back(operation.id);
  } else if (at->second.kind == Kind::kRelease) {
    operation.release = true;
  } else {
    return false;  // a newer one has come
  }
  at->second = std::move(operation);
  return true;
}

void StoreThread::ScheduleRenewal(const ShelfResult& result) {
  const absl::Status& status = result.snapshot.status();
  const absl::Time now = clock_->Now();
  absl::MutexLock lock(&mutex_);
  if (result.released || absl::IsAborted(status)) {
    renewals_.erase(result.id);
  } else if (status.ok() && (result.operation == Kind::kAcquire ||
                             result.operation == Kind::kRenew)) {
    renewals_[result.id] = now + (result.lease_until - now) / kRenewals;
  } else if (result.operation == Kind::kRenew) {
    renewals_[result.id] = now + kRenewAgain;
  }
}

absl::Status StoreThread::Acquire(const Operation& operation,
                                  ShelfResult* result) {
  const std::string& id = operation.id;
  TLIN_ASSIGN_OR_RETURN(const SessionLease lease,
                        store_->shared()->Acquire(id, operation.known));
  result->lease_until = lease.until;
  result->stored_as = lease.version;
  if (lease.snapshot.empty()) return absl::OkStatus();
  absl::StatusOr<Snapshot> snapshot =
      DecodeSnapshot(lease.snapshot, id, *model_);
  if (!snapshot.ok()) {
    // Where this fails it runs out by itself.
    store_->shared()->Release(id).IgnoreError();
    return snapshot.status();
  }
  result->fetched = true;
  result->snapshot = *std::move(snapshot);
  return absl::OkStatus();
}

absl::Status StoreThread::Look(const std::string& id, ShelfResult* result) {
  std::vector<std::string> ids = {id};
  if (id.empty()) {
    TLIN_ASSIGN_OR_RETURN(ids, store_->List());
  }
  for (const std::string& one : ids) {
    const auto head = store_->Get(one, kSnapshotHeaderBytes);
    // Among all, one may have gone meanwhile.
    if (id.empty() && absl::IsNotFound(head.status())) continue;
    TLIN_RETURN_IF_ERROR(head.status());
    const auto summary = DecodeSnapshotSummary(*head, one, *model_);
    if (id.empty() && !summary.ok()) continue;
    TLIN_RETURN_IF_ERROR(summary.status());
    result->seen.emplace_back(one, *summary);
  }
  return absl::OkStatus();
}

ShelfResult StoreThread::RunOne(const Operation& operation) {
  const absl::Time begin = clock_->Now();
  const std::string& id = operation.id;
  ShelfResult result;
  result.operation = operation.kind;
  result.id = id;
  result.version = operation.version;
  result.snapshot = Snapshot();
  absl::Status status;
  switch (operation.kind) {
    case Kind::kPut: {
      const std::string bytes =
          EncodeSnapshot(operation.snapshot, model_->info());
      status = store_->Put(id, bytes);
      if (store_->shared() != nullptr)
        result.stored_as = SnapshotVersion(bytes);
      break;
    }
    case Kind::kDelete:
      status = store_->Delete(id);
      break;
    case Kind::kGet: {
      const auto bytes = store_->Get(id, std::numeric_limits<int64_t>::max());
      result.snapshot =
          bytes.ok() ? DecodeSnapshot(*bytes, id, *model_) : bytes.status();
      break;
    }
    case Kind::kAcquire:
      status = Acquire(operation, &result);
      break;
    case Kind::kRenew: {
      const auto until = store_->shared()->Renew(id);
      status = until.status();
      if (until.ok()) result.lease_until = *until;
      break;
    }
    case Kind::kRelease:
      status = store_->shared()->Release(id);
      result.released = status.ok();
      break;
    case Kind::kLook:
      status = Look(id, &result);
      break;
  }
  if (operation.release && (status.ok() || absl::IsAborted(status))) {
    const absl::Status released = store_->shared()->Release(id);
    result.released = released.ok() || absl::IsAborted(status);
  }
  if (!status.ok()) result.snapshot = status;
  result.duration = clock_->Now() - begin;
  return result;
}

}  // namespace tlin
