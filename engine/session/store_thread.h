// Runs a session store's operations, and encodes and decodes snapshots, on a
// thread of its own.
#ifndef TLIN_ENGINE_SESSION_STORE_THREAD_H_
#define TLIN_ENGINE_SESSION_STORE_THREAD_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "engine/base/clock.h"
#include "engine/model_runner.h"
#include "engine/session/session_shelf.h"
#include "engine/session/session_store.h"

namespace tlin {

class StoreThread final : public SessionShelf {
 public:
  // `done` is called on the thread, once for each operation that was run. All
  // pointers outlive the object.
  StoreThread(SessionStore* store, const ModelRunner* model, Clock* clock,
              std::function<void(ShelfResult)> done);
  // Runs what waits, each once, then ends the thread.
  ~StoreThread() override;

  void Put(const std::string& id, uint64_t version, Snapshot snapshot) override;
  void Get(const std::string& id) override;
  void Delete(const std::string& id) override;
  void Acquire(const std::string& id, const std::string& known) override;
  void Release(const std::string& id) override;
  void Look(const std::string& id) override;

  // Nothing that is due waits or runs. False after `timeout`.
  bool WaitUntilIdle(absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mutex_);
  // The same, and nothing is to be tried again.
  bool WaitUntilDone(absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using Kind = ShelfResult::Operation;
  struct Operation {
    Kind kind = Kind::kPut;
    std::string id;
    uint64_t version = 0;    // of a Put
    Snapshot snapshot = {};  // the same
    std::string known = {};  // of an Acquire
    bool release = false;    // after a Put or Delete
    int failures = 0;        // so far
    absl::Time due = absl::InfinitePast();
  };

  void Add(const std::string& key, Operation operation)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Run() ABSL_LOCKS_EXCLUDED(mutex_);
  // The next that is due, a renewal or what waits; false: the thread ends.
  bool TakeNext(Operation* operation) ABSL_LOCKS_EXCLUDED(mutex_);
  bool TakeDue(absl::Time now, Operation* operation)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  ShelfResult RunOne(const Operation& operation);
  absl::Status Acquire(const Operation& operation, ShelfResult* result);
  absl::Status Look(const std::string& id, ShelfResult* result);
  // Of a lease, by how the operation went.
  void ScheduleRenewal(const ShelfResult& result) ABSL_LOCKS_EXCLUDED(mutex_);
  // True: it will be tried again. False: that was its end.
  bool TryAgain(Operation operation, const ShelfResult& result)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // When something is due next; InfiniteFuture: never.
  absl::Time NextDue() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  bool HasDue() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return ending_ || NextDue() <= clock_->Now();
  }
  bool IsIdle() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return !running_ && NextDue() > clock_->Now();
  }
  bool IsDone() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return !running_ && order_.empty();
  }

  // Constant after construction.
  SessionStore* const store_;
  const ModelRunner* const model_;
  Clock* const clock_;
  const std::function<void(ShelfResult)> done_;

  absl::Mutex mutex_;
  std::deque<std::string> order_ ABSL_GUARDED_BY(mutex_);  // keys of waiting_
  // By session id; what only looks by one that no session can have.
  absl::flat_hash_map<std::string, Operation> waiting_ ABSL_GUARDED_BY(mutex_);
  // When the leases that are held are to be renewed, by session id.
  absl::flat_hash_map<std::string, absl::Time> renewals_
      ABSL_GUARDED_BY(mutex_);
  bool running_ ABSL_GUARDED_BY(mutex_) = false;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_SESSION_STORE_THREAD_H_
