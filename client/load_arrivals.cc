#include "client/load_arrivals.h"

#include <cmath>

namespace tlin::client {
namespace {

// Apart from the streams of requests, which are numbered from 0.
constexpr uint64_t kArrivalStream = ~uint64_t{0};

}  // namespace

PoissonArrivals::PoissonArrivals(double rate, uint64_t seed)
    : rate_(rate), random_(seed, kArrivalStream) {}

absl::Duration PoissonArrivals::Next() {
  // Gaps between arrivals of a Poisson process are exponential.
  seconds_ += -std::log(random_.Unit()) / rate_;
  return absl::Seconds(seconds_);
}

}  // namespace tlin::client
