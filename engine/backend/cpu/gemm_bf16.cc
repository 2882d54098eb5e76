#include "engine/backend/cpu/simd_targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/backend/cpu/gemm_bf16.cc"
#include "hwy/foreach_target.h"
//
#include "engine/backend/cpu/gemm_tile-inl.h"
#include "engine/backend/float_formats.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tlin {
namespace HWY_NAMESPACE {

void MultiplyBf16(const GemmTask& task) { MultiplyPanels<Bf16Weights>(task); }

// Plain loop: the compiler makes vectors of it for each target.
void RoundToBf16(const float* x, int64_t cols, uint32_t* row) {
  for (int64_t i = 0; i < cols; ++i) {
    row[i] = static_cast<uint32_t>(FloatToBf16(x[i])) << 16;
  }
  if (cols % 2 != 0) row[cols] = 0;
}

}  // namespace HWY_NAMESPACE
}  // namespace tlin
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace tlin {
namespace {

HWY_EXPORT(MultiplyBf16);
HWY_EXPORT(RoundToBf16);

void Prepare(const float* x, int64_t cols, uint32_t* row) {
  HWY_DYNAMIC_DISPATCH(RoundToBf16)(x, cols, row);
}

void Multiply(const GemmTask& task) {
  HWY_DYNAMIC_DISPATCH(MultiplyBf16)(task);
}

}  // namespace

const GemmKernels& GemmBf16() {
  static constexpr GemmKernels kKernels = {"bf16", 1, &Prepare, &Multiply};
  return kKernels;
}

}  // namespace tlin
#endif  // HWY_ONCE
