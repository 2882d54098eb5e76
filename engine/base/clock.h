// Time as a parameter, so that tests can hold it still.
#ifndef TLIN_ENGINE_BASE_CLOCK_H_
#define TLIN_ENGINE_BASE_CLOCK_H_

#include "absl/time/time.h"

namespace tlin {

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;

  // Monotonic: never goes back, unrelated to the wall clock's zero. Use it for
  // durations and deadlines.
  virtual absl::Time Now() = 0;
  // By the calendar: to be shown and stored. May jump.
  virtual absl::Time WallNow() = 0;
};

class MonotonicClock final : public Clock {
 public:
  absl::Time Now() override;
  absl::Time WallNow() override;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_BASE_CLOCK_H_
