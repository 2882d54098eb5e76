#include "engine/backend/cpu/rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace tlin {
namespace {

// Cosine and sine of the rounded angle, also where the angle is so large that a
// float32 reduction would have lost all of it.
TEST(RopeTest, TurnsAreExactAtAnyPosition) {
  for (const int32_t head_size : {2, 4, 36, 64, 128}) {
    const Rope rope(head_size);
    std::vector<float> turn(head_size);
    for (const int32_t position :
         {0, 1, 2, 3, 255, 256, 1000, 65'535, 149'999, 150'000, 999'999,
          16'777'215, 1'000'000'000}) {
      rope.MakeTurn(position, turn.data());
      for (int32_t i = 0; i < head_size / 2; ++i) {
        const float frequency =
            1.0f / std::pow(10000.0f, static_cast<float>(2 * i) /
                                          static_cast<float>(head_size));
        const float angle = static_cast<float>(position) * frequency;
        EXPECT_NEAR(turn[i], std::cos(double{angle}), 1.5e-7)
            << "position " << position << ", pair " << i;
        EXPECT_NEAR(turn[head_size / 2 + i], std::sin(double{angle}), 1.5e-7);
      }
    }
  }
}

TEST(RopeTest, QuarterTurns) {
  const Rope rope(2);
  std::vector<float> turn(2);
  for (int32_t position = 0; position < 2000; ++position) {
    rope.MakeTurn(position, turn.data());
    EXPECT_NEAR(turn[0], std::cos(double(position)), 1e-7);
    EXPECT_NEAR(turn[1], std::sin(double(position)), 1e-7);
  }
}

}  // namespace
}  // namespace tlin
