// Random numbers without a state: a pure function of (seed, position).
#ifndef TLIN_ENGINE_SAMPLING_RANDOM_H_
#define TLIN_ENGINE_SAMPLING_RANDOM_H_

#include <cstdint>

namespace tlin {

// splitmix64's output function: every bit of the input reaches every bit.
constexpr uint64_t MixBits(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

// The uniform number in [0, 1) that chooses the token at `position` (0-based,
// in the whole sequence, prompt included). Nothing else enters it, so a seed
// gives the same tokens in any company. Any device can compute it:
//   z = MixBits(MixBits(seed) + (position + 1) * 0x9E3779B97F4A7C15), all mod
//   2^64 u = (z >> 11) * 2^-53
// The seed is mixed first: neighbouring seeds would else give shifted streams.
constexpr double UniformAt(uint64_t seed, int64_t position) {
  const uint64_t z =
      MixBits(MixBits(seed) +
              (static_cast<uint64_t>(position) + 1) * 0x9E3779B97F4A7C15u);
  return static_cast<double>(z >> 11) * 0x1p-53;
}

}  // namespace tlin

#endif  // TLIN_ENGINE_SAMPLING_RANDOM_H_
