// A session store in memory that fails when the test says so.
#ifndef TLIN_TESTS_TESTING_FAKE_SESSION_STORE_H_
#define TLIN_TESTS_TESTING_FAKE_SESSION_STORE_H_

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "engine/session/session_store.h"

namespace tlin {

// Thread-safe.
class FakeSessionStore final : public SessionStore {
 public:
  // Every operation fails with `status` from now on; OK: none does.
  void FailWith(const absl::Status& status) {
    absl::MutexLock lock(&mutex_);
    failure_ = status;
  }
  // Operations wait until Release.
  void Block() {
    absl::MutexLock lock(&mutex_);
    blocked_ = true;
  }
  void Release() {
    absl::MutexLock lock(&mutex_);
    blocked_ = false;
  }
  std::map<std::string, std::string> snapshots() const {
    absl::MutexLock lock(&mutex_);
    return snapshots_;
  }
  void Set(const std::string& id, const std::string& snapshot) {
    absl::MutexLock lock(&mutex_);
    snapshots_[id] = snapshot;
  }
  std::vector<std::string> set_aside() const {
    absl::MutexLock lock(&mutex_);
    return set_aside_;
  }

  absl::Status Put(absl::string_view id, absl::string_view snapshot) override {
    absl::MutexLock lock(&mutex_);
    Wait();
    if (failure_.ok()) snapshots_[std::string(id)] = std::string(snapshot);
    return failure_;
  }
  absl::StatusOr<std::string> Get(absl::string_view id, int64_t most) override {
    absl::MutexLock lock(&mutex_);
    Wait();
    if (!failure_.ok()) return failure_;
    const auto found = snapshots_.find(std::string(id));
    if (found == snapshots_.end())
      return absl::NotFoundError("no such session");
    return found->second.substr(
        0, static_cast<size_t>(std::min<int64_t>(
               most, static_cast<int64_t>(found->second.size()))));
  }
  absl::Status Delete(absl::string_view id) override {
    absl::MutexLock lock(&mutex_);
    Wait();
    if (failure_.ok()) snapshots_.erase(std::string(id));
    return failure_;
  }
  absl::StatusOr<std::vector<std::string>> List() override {
    absl::MutexLock lock(&mutex_);
    if (!failure_.ok()) return failure_;
    std::vector<std::string> ids;
    for (const auto& [id, snapshot] : snapshots_) ids.push_back(id);
    return ids;
  }
  absl::Status SetAside(absl::string_view id) override {
    absl::MutexLock lock(&mutex_);
    snapshots_.erase(std::string(id));
    set_aside_.emplace_back(id);
    return absl::OkStatus();
  }

 private:
  void Wait() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const auto open = +[](bool* blocked) { return !*blocked; };
    mutex_.Await(absl::Condition(open, &blocked_));
  }

  mutable absl::Mutex mutex_;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  bool blocked_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<std::string, std::string> snapshots_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> set_aside_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tlin

#endif  // TLIN_TESTS_TESTING_FAKE_SESSION_STORE_H_
