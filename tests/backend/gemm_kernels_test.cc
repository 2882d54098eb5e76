// The kernels alone: exact products, rounding, and the same bits from both ways
// to multiply bf16.
#include "engine/backend/cpu/gemm_kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "engine/backend/cpu/gemm.h"
#include "engine/backend/float_formats.h"
#include "hwy/targets.h"
#include "tests/backend/backend_fixture.h"
#include "tests/testing/forced_simd.h"

namespace tlin {
namespace {

std::vector<float> Product(const GemmKernels& kernels, DType dtype,
                           const Matrix& x, const Matrix& weight,
                           const std::vector<float>& start, bool add) {
  const std::vector<float> floats = ToFloats(weight);
  const HostMatrix view = View(weight, floats);
  const PackedMatrix packed = PackedMatrix::Pack({&view, 1}, {}, dtype).value();
  const int64_t stride = PreparedStride(kernels, x.cols);
  std::vector<uint32_t> prepared(x.rows * stride, 0xFFFFFFFF);  // NaNs
  const std::vector<float> rows = ToFloats(x);
  for (int64_t row = 0; row < x.rows; ++row) {
    kernels.prepare(rows.data() + row * x.cols, x.cols,
                    prepared.data() + row * stride);
  }
  std::vector<float> y = start;
  WorkerPool pool(2);
  const GemmOutput output = {&packed, y.data(), weight.rows, add};
  Multiply(kernels, {prepared.data(), stride, x.rows}, {&output, 1}, pool);
  return y;
}

class GemmKernelsTest : public testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override { ForceSimd(GetParam()); }
  void TearDown() override { ForceSimd(0); }

  std::mt19937 random_{7};
};

TEST_P(GemmKernelsTest, EveryNumberOfRowsInputsAndOutputs) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const GemmKernels& kernels = dtype == DType::kF32 ? GemmF32() : GemmBf16();
    for (const int64_t rows : {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 25}) {
      const int64_t in = 1 + random_() % 70;
      const int64_t out = 1 + random_() % 300;
      const Matrix x = RandomMatrix(rows, in, 1, random_);
      const Matrix weight = RandomMatrix(out, in, 1, random_);
      const std::vector<float> start(rows * out, 0.25f);
      const Matrix expected =
          ReferenceLinear(Round(x, dtype), Round(weight, dtype), {});
      for (const bool add : {false, true}) {
        const std::vector<float> y =
            Product(kernels, dtype, x, weight, start, add);
        for (size_t i = 0; i < y.size(); ++i) {
          ASSERT_NEAR(y[i], expected.values[i] + (add ? 0.25 : 0), 2e-5)
              << DTypeName(dtype) << ' ' << rows << " x " << in << " x " << out;
        }
      }
    }
  }
}

TEST_P(GemmKernelsTest, DotProductsAndFmasAgreeBitForBit) {
  if (GemmBf16Dot() == nullptr) GTEST_SKIP() << "no such instruction here";
  for (const int64_t rows : {1, 5, 12, 30}) {
    for (const int64_t in : {31, 432}) {
      const int64_t out = 100;
      const Matrix x = RandomMatrix(rows, in, 3, random_);
      const Matrix weight = RandomMatrix(out, in, 1, random_);
      const std::vector<float> start(rows * out);
      const auto dot = Product(*GemmBf16Dot(), DType::kBF16, x, weight, start,
                               /*add=*/true);
      const auto fma =
          Product(GemmBf16(), DType::kBF16, x, weight, start, /*add=*/true);
      if (GetParam() == HWY_SCALAR) continue;  // multiplies, then adds
      EXPECT_EQ(std::memcmp(dot.data(), fma.data(), dot.size() * 4), 0);
    }
  }
}

// The best, and what it can be forced to.
std::vector<int64_t> Targets() {
  std::vector<int64_t> targets = {0};
  for (const int64_t target : {HWY_AVX2, HWY_SCALAR}) {
    if ((RunnableSimd() & target) != 0) targets.push_back(target);
  }
  return targets;
}

INSTANTIATE_TEST_SUITE_P(Targets, GemmKernelsTest, testing::ValuesIn(Targets()),
                         [](const auto& info) {
                           return info.param == 0 ? "best"
                                                  : hwy::TargetName(info.param);
                         });

TEST(FloatFormatsTest, Bf16RoundsToNearestEven) {
  EXPECT_EQ(FloatToBf16(1.0f), 0x3F80);
  EXPECT_EQ(FloatToBf16(1.0f + 1.0f / 256), 0x3F80);  // tie, to even
  EXPECT_EQ(FloatToBf16(1.0f + 3.0f / 256), 0x3F82);  // tie, to even
  EXPECT_EQ(FloatToBf16(1.0f + 1.0f / 256 + 1e-6f), 0x3F81);
  EXPECT_EQ(FloatToBf16(-std::numeric_limits<float>::infinity()), 0xFF80);
  EXPECT_EQ(FloatToBf16(3.4e38f), 0x7F80);
  EXPECT_TRUE(std::isnan(
      Bf16ToFloat(FloatToBf16(std::numeric_limits<float>::quiet_NaN()))));
}

TEST(FloatFormatsTest, F16CoversItsRange) {
  EXPECT_EQ(F16ToFloat(0x3C00), 1.0f);
  EXPECT_EQ(F16ToFloat(0xC000), -2.0f);
  EXPECT_EQ(F16ToFloat(0x7BFF), 65504.0f);
  EXPECT_EQ(F16ToFloat(0x0001), std::ldexp(1.0f, -24));
  EXPECT_EQ(F16ToFloat(0x83FF), -std::ldexp(1023.0f, -24));
  EXPECT_EQ(F16ToFloat(0x7C00), std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(F16ToFloat(0x7E00)));
  EXPECT_TRUE(std::signbit(F16ToFloat(0x8000)));
}

}  // namespace
}  // namespace tlin
