// A clock that stands still until a test moves it.
#ifndef TLIN_TESTS_TESTING_FAKE_CLOCK_H_
#define TLIN_TESTS_TESTING_FAKE_CLOCK_H_

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "engine/base/clock.h"

namespace tlin {

class FakeClock final : public Clock {
 public:
  absl::Time Now() override {
    absl::MutexLock lock(&mutex_);
    return now_;
  }

  absl::Time WallNow() override {
    return Now() + absl::Hours(24 * 365 * 50);  // taken for Now() it shows
  }

  void Advance(absl::Duration duration) {
    absl::MutexLock lock(&mutex_);
    now_ += duration;
  }

 private:
  absl::Mutex mutex_;
  absl::Time now_ ABSL_GUARDED_BY(mutex_) = absl::UnixEpoch() + absl::Hours(1);
};

}  // namespace tlin

#endif  // TLIN_TESTS_TESTING_FAKE_CLOCK_H_
