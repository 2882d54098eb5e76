// Scalar conversions between f32 and the 16-bit formats. Loops that matter have
// their own vector code with the same rounding.
#ifndef TLIN_ENGINE_BACKEND_FLOAT_FORMATS_H_
#define TLIN_ENGINE_BACKEND_FLOAT_FORMATS_H_

#include <bit>
#include <cmath>
#include <cstdint>

namespace tlin {

inline float Bf16ToFloat(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

// To nearest, ties to even; a NaN stays a (quiet) NaN.
inline uint16_t FloatToBf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = bits + 0x7FFF + ((bits >> 16) & 1);
  const bool nan = (bits & 0x7FFFFFFF) > 0x7F800000;
  return static_cast<uint16_t>((nan ? bits | 0x00400000 : rounded) >> 16);
}

inline float F16ToFloat(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1F;
  const uint32_t mantissa = bits & 0x3FF;
  if (exponent == 0x1F) {
    return std::bit_cast<float>(sign | 0x7F800000 | mantissa << 13);
  }
  if (exponent == 0) {  // zero or subnormal: mantissa units of 2^-24
    const float magnitude = std::ldexp(static_cast<float>(mantissa), -24);
    return sign != 0 ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
}

}  // namespace tlin

#endif  // TLIN_ENGINE_BACKEND_FLOAT_FORMATS_H_
