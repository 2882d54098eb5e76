// The arithmetic of sampling, one token at a time, for every device: plain
// IEEE operations of float and double, none of them fused, so that a host and a
// GPU that are given the same logits choose the same token. What includes it is
// compiled without contraction (-ffp-contract=off, -fmad=false).
#ifndef TLIN_ENGINE_SAMPLING_SAMPLING_MATH_H_
#define TLIN_ENGINE_SAMPLING_SAMPLING_MATH_H_

#include <bit>
#include <cstdint>

#include "engine/sampling/sampling.h"

namespace tlin {

// Weights below e^-87 of the likeliest token's count as 0.
inline constexpr float kSmallestExponent = -87.0f;

// exp of x <= 0, Cephes' polynomial: branch-free so that loops over it
// vectorise. Relative error below 3e-7.
constexpr float ExpNegative(float x) {
  constexpr float kLog2E = 1.44269504f;
  constexpr float kLn2High = 0.693359375f;
  constexpr float kLn2Low = -2.12194440e-4f;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds
  const float bounded = x > kSmallestExponent ? x : kSmallestExponent;
  const float shifted = bounded * kLog2E + kRound;
  const float n = shifted - kRound;
  const float r = (bounded - n * kLn2High) - n * kLn2Low;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  // 2^n: `shifted` holds n in its low bits.
  const uint32_t exponent = (std::bit_cast<uint32_t>(shifted) + 127u) << 23;
  const float e = p * std::bit_cast<float>(exponent);
  return x > kSmallestExponent ? e : 0.0f;
}

// Weights are multiples of 2^-33, at most 1. Sums of a million of them are
// exact in double, and in 64-bit integers that count such steps: whatever the
// order of addition.
inline constexpr double kWeightSteps = 0x1p33;

// Of a token with a logit so far from the likeliest one's.
constexpr float SampleWeight(float logit, float max, float scale) {
  constexpr float kCoarse = 0x1p-10f;  // floats from here on are such multiples
  const float e = ExpNegative((logit - max) * scale);
  const float rounded = (e + kCoarse) - kCoarse;
  return e < kCoarse ? rounded : e;
}

// A logit after the penalties. A repetition penalty p divides a positive logit
// by p and multiplies any other; of a generated token, seen n times: minus
// n * frequency_penalty, minus presence_penalty. Results stay finite.
constexpr float Penalized(const Sampling& sampling, int32_t times,
                          float logit) {
  constexpr float kLargest = 1e30f;  // beyond any model's, far from infinity
  float x = logit > 0 ? logit / sampling.repetition_penalty
                      : logit * sampling.repetition_penalty;
  if (times > 0) {
    x -= sampling.frequency_penalty * static_cast<float>(times) +
         sampling.presence_penalty;
  }
  return x < -kLargest ? -kLargest : x > kLargest ? kLargest : x;
}

}  // namespace tlin

#endif  // TLIN_ENGINE_SAMPLING_SAMPLING_MATH_H_
