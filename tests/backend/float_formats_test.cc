// Every 16-bit number, by its definition.
#include "engine/backend/float_formats.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <random>

namespace tlin {
namespace {

TEST(FloatFormatsTest, EveryF16IsTheNumberThatItStandsFor) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const int exponent = static_cast<int>(bits >> 10 & 31);
    const double mantissa = (bits & 1023) / 1024.0;
    const double sign = (bits & 0x8000) != 0 ? -1 : 1;
    const float actual = F16ToFloat(static_cast<uint16_t>(bits));
    if (exponent == 31 && mantissa != 0) {
      EXPECT_TRUE(std::isnan(actual)) << bits;
      continue;
    }
    const double expected =
        exponent == 31  ? sign * INFINITY
        : exponent == 0 ? sign * std::ldexp(mantissa, -14)
                        : sign * std::ldexp(1 + mantissa, exponent - 15);
    ASSERT_EQ(actual, expected) << bits;
    ASSERT_EQ(std::signbit(actual), sign < 0) << bits;
  }
}

TEST(FloatFormatsTest, Bf16IsTheNearestTiesToEven) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto b = static_cast<uint16_t>(bits);
    const float value = Bf16ToFloat(b);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(Bf16ToFloat(FloatToBf16(value))));
    } else {
      ASSERT_EQ(FloatToBf16(value), b);
    }
  }
  std::mt19937 random(1);
  for (int i = 0; i < 100000; ++i) {
    const float value = std::bit_cast<float>(static_cast<uint32_t>(random()));
    if (!std::isfinite(value)) continue;
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    const auto down = static_cast<uint16_t>(bits >> 16);  // towards zero
    const uint32_t rest = bits & 0xffff;
    const bool up = rest > 0x8000 || (rest == 0x8000 && down % 2 == 1);
    ASSERT_EQ(FloatToBf16(value), down + up) << bits;
  }
  EXPECT_EQ(FloatToBf16(std::bit_cast<float>(0x3f808000u)), 0x3f80);
  EXPECT_EQ(FloatToBf16(std::bit_cast<float>(0x3f818000u)), 0x3f82);
}

}  // namespace
}  // namespace tlin
