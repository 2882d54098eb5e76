// A shared session store in memory: each process of a test has its own object,
// all over one FakeSharedSessions.
#ifndef TLIN_TESTS_TESTING_FAKE_SHARED_STORE_H_
#define TLIN_TESTS_TESTING_FAKE_SHARED_STORE_H_

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "engine/base/clock.h"
#include "engine/session/session_store.h"
#include "engine/session/snapshot.h"

namespace tlin {

// What the store has. Thread-safe.
class FakeSharedSessions {
 public:
  struct Entry {
    std::string snapshot;
    int64_t fence = 0;   // the last lease's token
    int64_t holder = 0;  // the lease's that holds now; 0: none
  };

  // Time passes at the store when the test says so.
  void ExpireLease(const std::string& id) {
    absl::MutexLock lock(&mutex_);
    entries_[id].holder = 0;
  }
  bool leased(const std::string& id) {
    absl::MutexLock lock(&mutex_);
    return entries_[id].holder != 0;
  }
  std::string snapshot(const std::string& id) {
    absl::MutexLock lock(&mutex_);
    return entries_[id].snapshot;
  }
  // Every operation fails with `status` from now on; OK: none does.
  void FailWith(const absl::Status& status) {
    absl::MutexLock lock(&mutex_);
    failure_ = status;
  }

 private:
  friend class FakeSharedStore;

  absl::Mutex mutex_;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  int64_t tokens_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::string, Entry> entries_ ABSL_GUARDED_BY(mutex_);
};

class FakeSharedStore final : public SharedSessionStore {
 public:
  FakeSharedStore(FakeSharedSessions* sessions, absl::Duration lease,
                  Clock* clock)
      : sessions_(sessions), lease_(lease), clock_(clock) {}

  absl::StatusOr<SessionLease> Acquire(absl::string_view id,
                                       absl::string_view known) override {
    absl::MutexLock lock(&sessions_->mutex_);
    if (!sessions_->failure_.ok()) return sessions_->failure_;
    FakeSharedSessions::Entry& entry = sessions_->entries_[std::string(id)];
    if (entry.holder != 0 && entry.holder != tokens_[std::string(id)]) {
      return absl::FailedPreconditionError("in use at another server");
    }
    entry.holder = entry.fence = ++sessions_->tokens_;
    tokens_[std::string(id)] = entry.holder;
    SessionLease lease;
    lease.until = clock_->Now() + lease_;
    if (entry.snapshot.empty()) return lease;
    lease.version = SnapshotVersion(entry.snapshot);
    if (lease.version != known) lease.snapshot = entry.snapshot;
    return lease;
  }
  absl::StatusOr<absl::Time> Renew(absl::string_view id) override {
    absl::MutexLock lock(&sessions_->mutex_);
    if (!sessions_->failure_.ok()) return sessions_->failure_;
    if (sessions_->entries_[std::string(id)].holder !=
        tokens_[std::string(id)]) {
      return absl::AbortedError("the lease is over");
    }
    return clock_->Now() + lease_;
  }
  absl::Status Release(absl::string_view id) override {
    absl::MutexLock lock(&sessions_->mutex_);
    if (!sessions_->failure_.ok()) return sessions_->failure_;
    FakeSharedSessions::Entry& entry = sessions_->entries_[std::string(id)];
    if (entry.holder == tokens_[std::string(id)]) entry.holder = 0;
    return absl::OkStatus();
  }
  absl::Status Put(absl::string_view id, absl::string_view snapshot) override {
    return Write(id, snapshot);
  }
  absl::Status Delete(absl::string_view id) override { return Write(id, ""); }
  absl::StatusOr<std::string> Get(absl::string_view id, int64_t most) override {
    absl::MutexLock lock(&sessions_->mutex_);
    if (!sessions_->failure_.ok()) return sessions_->failure_;
    const std::string& all = sessions_->entries_[std::string(id)].snapshot;
    if (all.empty()) return absl::NotFoundError("there is no such session");
    return all.substr(0, static_cast<size_t>(std::min<int64_t>(
                             most, static_cast<int64_t>(all.size()))));
  }
  absl::StatusOr<std::vector<std::string>> List() override {
    absl::MutexLock lock(&sessions_->mutex_);
    if (!sessions_->failure_.ok()) return sessions_->failure_;
    std::vector<std::string> ids;
    for (const auto& [id, entry] : sessions_->entries_) {
      if (!entry.snapshot.empty()) ids.push_back(id);
    }
    return ids;
  }
  absl::Status SetAside(absl::string_view) override { return absl::OkStatus(); }

 private:
  absl::Status Write(absl::string_view id, absl::string_view snapshot) {
    absl::MutexLock lock(&sessions_->mutex_);
    if (!sessions_->failure_.ok()) return sessions_->failure_;
    FakeSharedSessions::Entry& entry = sessions_->entries_[std::string(id)];
    if (entry.fence != tokens_[std::string(id)]) {
      return absl::AbortedError("the lease is over");
    }
    entry.snapshot = std::string(snapshot);
    return absl::OkStatus();
  }

  FakeSharedSessions* const sessions_;
  const absl::Duration lease_;
  Clock* const clock_;
  std::map<std::string, int64_t> tokens_;  // of this process's leases
};

}  // namespace tlin

#endif  // TLIN_TESTS_TESTING_FAKE_SHARED_STORE_H_
