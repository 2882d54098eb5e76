// The register-blocked kernel of Gemm, once for each instruction set.
#include "engine/backend/cpu/gemm_kernel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/backend/cpu/gemm_kernel.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tlin {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Sixteen registers on AVX2 hold 4 rows of 2 vectors; thirty-two, 6 rows of 4.
// Neither changes what an output is: only how many are on their way at once.
constexpr bool kFewRegisters = HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_EMU128;
constexpr int kTileRows = kFewRegisters ? 4 : 6;
constexpr int kTileVectors = kFewRegisters ? 2 : 4;

using F32 = hn::ScalableTag<float>;
using U32 = hn::ScalableTag<uint32_t>;
using Vector = hn::Vec<F32>;

// One f32 input against kTileVectors of weights, for kRows rows.
template <int kRows>
HWY_INLINE void StepF32(const float* weights, const float* const* x, int64_t k,
                        Vector (&sums)[kRows][kTileVectors]) {
  const F32 f32;
  Vector w[kTileVectors];
  for (int v = 0; v < kTileVectors; ++v) {
    w[v] = hn::Load(f32, weights + v * hn::Lanes(f32));
  }
  for (int row = 0; row < kRows; ++row) {
    const Vector input = hn::Set(f32, x[row][k]);
    for (int v = 0; v < kTileVectors; ++v) {
      sums[row][v] = hn::MulAdd(input, w[v], sums[row][v]);
    }
  }
}

// A pair of bf16 inputs: the upper half of each lane is the odd input, which
// the processors' dot product adds first.
template <int kRows>
HWY_INLINE void StepBF16(const uint32_t* weights, const uint32_t* const* x,
                         int64_t pair, Vector (&sums)[kRows][kTileVectors]) {
  const F32 f32;
  const U32 u32;
  const auto upper = hn::Set(u32, 0xffff0000u);
  Vector even[kTileVectors];
  Vector odd[kTileVectors];
  for (int v = 0; v < kTileVectors; ++v) {
    const auto both = hn::Load(u32, weights + v * hn::Lanes(u32));
    even[v] = hn::BitCast(f32, hn::ShiftLeft<16>(both));
    odd[v] = hn::BitCast(f32, hn::And(both, upper));
  }
  for (int row = 0; row < kRows; ++row) {
    const uint32_t bits = x[row][pair];
    const Vector input_odd = hn::BitCast(f32, hn::Set(u32, bits & 0xffff0000u));
    const Vector input_even = hn::BitCast(f32, hn::Set(u32, bits << 16));
    for (int v = 0; v < kTileVectors; ++v) {
      sums[row][v] = hn::MulAdd(input_odd, odd[v], sums[row][v]);
    }
    for (int v = 0; v < kTileVectors; ++v) {
      sums[row][v] = hn::MulAdd(input_even, even[v], sums[row][v]);
    }
  }
}

// kRows rows of one panel. `y` has room for 64 columns a row.
template <int kRows>
void RowsOfPanel(const GemmPanel& panel, const std::byte* x, int64_t x_stride,
                 float* y, int64_t y_stride) {
  const F32 f32;
  const auto columns = static_cast<int64_t>(kTileVectors * hn::Lanes(f32));
  const std::byte* x_rows[kRows];
  for (int row = 0; row < kRows; ++row) x_rows[row] = x + row * x_stride;
  for (int64_t column = 0; column < 64; column += columns) {
    Vector sums[kRows][kTileVectors];
    for (int v = 0; v < kTileVectors; ++v) {
      const Vector bias =
          hn::LoadU(f32, panel.bias + column + v * hn::Lanes(f32));
      for (int row = 0; row < kRows; ++row) sums[row][v] = bias;
    }
    if (panel.dtype == DType::kBF16) {
      const auto* weights =
          reinterpret_cast<const uint32_t*>(panel.weights) + column;
      const auto* const* inputs =
          reinterpret_cast<const uint32_t* const*>(x_rows);
      for (int64_t step = 0; step < panel.steps; ++step) {
        StepBF16<kRows>(weights + step * 64, inputs, step, sums);
      }
    } else {
      const auto* weights =
          reinterpret_cast<const float*>(panel.weights) + column;
      const auto* const* inputs = reinterpret_cast<const float* const*>(x_rows);
      for (int64_t step = 0; step < panel.steps; ++step) {
        StepF32<kRows>(weights + step * 64, inputs, step, sums);
      }
    }
    for (int row = 0; row < kRows; ++row) {
      for (int v = 0; v < kTileVectors; ++v) {
        hn::StoreU(sums[row][v], f32,
                   y + row * y_stride + column + v * hn::Lanes(f32));
      }
    }
  }
}

void PanelKernel(const GemmPanel& panel, const std::byte* x, int64_t x_stride,
                 int32_t rows, float* y, int64_t y_stride) {
  int32_t row = 0;
  for (; row + kTileRows <= rows; row += kTileRows) {
    RowsOfPanel<kTileRows>(panel, x + row * x_stride, x_stride,
                           y + row * y_stride, y_stride);
  }
  const std::byte* const rest = x + row * x_stride;
  float* const rest_y = y + row * y_stride;
  switch (rows - row) {
    case 5:
      return RowsOfPanel<5>(panel, rest, x_stride, rest_y, y_stride);
    case 4:
      return RowsOfPanel<4>(panel, rest, x_stride, rest_y, y_stride);
    case 3:
      return RowsOfPanel<3>(panel, rest, x_stride, rest_y, y_stride);
    case 2:
      return RowsOfPanel<2>(panel, rest, x_stride, rest_y, y_stride);
    case 1:
      return RowsOfPanel<1>(panel, rest, x_stride, rest_y, y_stride);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tlin
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tlin {

HWY_EXPORT(PanelKernel);

void RunPanelKernel(const GemmPanel& panel, const std::byte* x,
                    int64_t x_stride, int32_t rows, float* y,
                    int64_t y_stride) {
  HWY_DYNAMIC_DISPATCH(PanelKernel)(panel, x, x_stride, rows, y, y_stride);
}

}  // namespace tlin
#endif  // HWY_ONCE
