// When requests arrive in an open loop: a Poisson process, whatever the server
// does.
#ifndef TLIN_CLIENT_LOAD_ARRIVALS_H_
#define TLIN_CLIENT_LOAD_ARRIVALS_H_

#include <cstdint>

#include "absl/time/time.h"
#include "client/load_random.h"

namespace tlin::client {

class PoissonArrivals {
 public:
  // `rate`: requests a second, above 0.
  PoissonArrivals(double rate, uint64_t seed);

  // The next arrival, since the start of the load. Never decreases.
  absl::Duration Next();

 private:
  const double rate_;
  LoadRandom random_;
  double seconds_ = 0;
};

}  // namespace tlin::client

#endif  // TLIN_CLIENT_LOAD_ARRIVALS_H_
