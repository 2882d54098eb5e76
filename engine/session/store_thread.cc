#include "engine/session/store_thread.h"

#include <limits>
#include <utility>

#include "engine/base/status_macros.h"

namespace tlin {

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
  Add(id, {ShelfResult::Operation::kPut, version, std::move(snapshot)});
}

void StoreThread::Get(const std::string& id) {
  Add(id, {ShelfResult::Operation::kGet, 0, {}});
}

void StoreThread::Delete(const std::string& id) {
  Add(id, {ShelfResult::Operation::kDelete, 0, {}});
}

void StoreThread::Add(const std::string& id, Operation operation) {
  absl::MutexLock lock(&mutex_);
  const auto [at, is_new] = waiting_.try_emplace(id);
  at->second = std::move(operation);
  if (is_new) order_.push_back(id);
}

bool StoreThread::WaitUntilIdle(absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(this, &StoreThread::IsIdle),
                                 timeout);
}

void StoreThread::Run() {
  for (;;) {
    std::string id;
    Operation operation;
    {
      absl::MutexLock lock(&mutex_);
      running_ = false;
      mutex_.Await(absl::Condition(this, &StoreThread::HasWork));
      if (order_.empty()) return;
      id = std::move(order_.front());
      order_.pop_front();
      const auto at = waiting_.find(id);
      operation = std::move(at->second);
      waiting_.erase(at);
      running_ = true;
    }
    done_(RunOne(id, operation));
  }
}

ShelfResult StoreThread::RunOne(const std::string& id,
                                const Operation& operation) const {
  const absl::Time begin = clock_->Now();
  ShelfResult result;
  result.operation = operation.kind;
  result.id = id;
  result.version = operation.version;
  const auto take = [&result](const absl::Status& status) {
    result.snapshot = Snapshot();
    if (!status.ok()) result.snapshot = status;
  };
  switch (operation.kind) {
    case ShelfResult::Operation::kPut:
      take(store_->Put(id, EncodeSnapshot(operation.snapshot, model_->info())));
      break;
    case ShelfResult::Operation::kDelete:
      take(store_->Delete(id));
      break;
    case ShelfResult::Operation::kGet: {
      const auto bytes = store_->Get(id, std::numeric_limits<int64_t>::max());
      result.snapshot =
          bytes.ok() ? DecodeSnapshot(*bytes, id, *model_) : bytes.status();
      break;
    }
  }
  result.duration = clock_->Now() - begin;
  return result;
}

}  // namespace tlin
