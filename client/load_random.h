// The load's random numbers: the same on every machine, and those of request i
// do not depend on the requests before it.
#ifndef TLIN_CLIENT_LOAD_RANDOM_H_
#define TLIN_CLIENT_LOAD_RANDOM_H_

#include <cstdint>

namespace tlin::client {

// splitmix64.
class LoadRandom {
 public:
  // A stream of its own for each pair.
  LoadRandom(uint64_t seed, uint64_t stream) : state_(seed) {
    state_ = Next() ^ stream;
    state_ = Next();
  }

  uint64_t Next() {
    uint64_t z = (state_ += 0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }

  // In [0, bound); uneven by less than bound / 2^64. REQUIRES: bound > 0.
  uint64_t Below(uint64_t bound) { return Next() % bound; }

  // In (0, 1].
  double Unit() { return static_cast<double>((Next() >> 11) + 1) * 0x1.0p-53; }

 private:
  uint64_t state_;
};

}  // namespace tlin::client

#endif  // TLIN_CLIENT_LOAD_RANDOM_H_
