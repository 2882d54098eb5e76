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
  // Runs what waits, then ends the thread.
  ~StoreThread() override;

  void Put(const std::string& id, uint64_t version, Snapshot snapshot) override;
  void Get(const std::string& id) override;
  void Delete(const std::string& id) override;

  // Nothing waits and nothing runs. False after `timeout`.
  bool WaitUntilIdle(absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Operation {
    ShelfResult::Operation kind = ShelfResult::Operation::kPut;
    uint64_t version = 0;
    Snapshot snapshot;  // of a Put
  };

  void Add(const std::string& id, Operation operation)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Run() ABSL_LOCKS_EXCLUDED(mutex_);
  ShelfResult RunOne(const std::string& id, const Operation& operation) const;
  bool HasWork() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return ending_ || !order_.empty();
  }
  bool IsIdle() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return !running_ && order_.empty();
  }

  // Constant after construction.
  SessionStore* const store_;
  const ModelRunner* const model_;
  Clock* const clock_;
  const std::function<void(ShelfResult)> done_;

  absl::Mutex mutex_;
  std::deque<std::string> order_ ABSL_GUARDED_BY(mutex_);  // ids of waiting_
  absl::flat_hash_map<std::string, Operation> waiting_ ABSL_GUARDED_BY(mutex_);
  bool running_ ABSL_GUARDED_BY(mutex_) = false;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_SESSION_STORE_THREAD_H_
