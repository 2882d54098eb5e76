#include "engine/base/clock.h"

#include <chrono>

#include "absl/time/clock.h"

namespace tlin {

absl::Time MonotonicClock::Now() {
  const auto since_boot = std::chrono::steady_clock::now().time_since_epoch();
  return absl::UnixEpoch() +
         absl::Nanoseconds(
             std::chrono::duration_cast<std::chrono::nanoseconds>(since_boot)
                 .count());
}

absl::Time MonotonicClock::WallNow() { return absl::Now(); }

}  // namespace tlin
