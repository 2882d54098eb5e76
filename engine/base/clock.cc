#include "engine/base/clock.h"

#include <chrono>

namespace tlin {

absl::Time MonotonicClock::Now() {
  const auto since_boot = std::chrono::steady_clock::now().time_since_epoch();
  return absl::UnixEpoch() +
         absl::Nanoseconds(
             std::chrono::duration_cast<std::chrono::nanoseconds>(since_boot)
                 .count());
}

}  // namespace tlin
