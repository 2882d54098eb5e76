// bf16 and f16 as scalars.
#ifndef TLIN_ENGINE_BACKEND_CPU_BF16_H_
#define TLIN_ENGINE_BACKEND_CPU_BF16_H_

#include <bit>
#include <cmath>
#include <cstdint>

namespace tlin {

// Round to nearest even; NaN stays NaN.
inline uint16_t ToBF16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) {
    return static_cast<uint16_t>((bits >> 16) | 0x40u);
  }
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

inline float FromBF16(uint16_t value) {
  return std::bit_cast<float>(uint32_t{value} << 16);
}

inline float FromF16(uint16_t value) {
  const int exponent = (value >> 10) & 0x1f;
  const int fraction = value & 0x3ff;
  const float sign = (value & 0x8000) != 0 ? -1.0f : 1.0f;
  if (exponent == 31) {
    return fraction != 0 ? std::nanf("") : sign * HUGE_VALF;
  }
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(fraction), -24);
  return sign * std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
}

}  // namespace tlin

#endif  // TLIN_ENGINE_BACKEND_CPU_BF16_H_
