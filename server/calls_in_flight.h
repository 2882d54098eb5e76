// Counts calls that are not done, so that a drain can wait for the last one,
// and for a pause between calls.
#ifndef TLIN_SERVER_CALLS_IN_FLIGHT_H_
#define TLIN_SERVER_CALLS_IN_FLIGHT_H_

#include <algorithm>
#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/base/clock.h"

namespace tlin {

// Thread-safe.
class CallsInFlight {
 public:
  // `clock` outlives this.
  explicit CallsInFlight(Clock* clock) : clock_(clock) {}

  void Begin() ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    ++count_;
    last_begin_ = clock_->Now();
  }
  void End() ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    --count_;
  }
  // True: none is left.
  bool WaitUntilNone(absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    const auto none = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      return count_ == 0;
    };
    return mutex_.AwaitWithTimeout(absl::Condition(&none), timeout);
  }
  // True: none has begun for `pause`, the time before this included. False:
  // they went on for `timeout`.
  bool WaitForPause(absl::Duration pause, absl::Duration timeout)
      ABSL_LOCKS_EXCLUDED(mutex_) {
    const absl::Time end = clock_->Now() + timeout;
    for (;;) {
      const absl::Time now = clock_->Now();
      const absl::Time quiet = LastBegin() + pause;
      if (quiet <= now) return true;
      if (end <= now) return false;
      absl::SleepFor(std::min(quiet, end) - now);
    }
  }

 private:
  absl::Time LastBegin() const ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return last_begin_;
  }

  Clock* const clock_;
  mutable absl::Mutex mutex_;
  int64_t count_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Time last_begin_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
};

}  // namespace tlin

#endif  // TLIN_SERVER_CALLS_IN_FLIGHT_H_
