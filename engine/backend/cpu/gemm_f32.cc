#include "engine/backend/cpu/simd_targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/backend/cpu/gemm_f32.cc"
#include "hwy/foreach_target.h"
//
#include "engine/backend/cpu/gemm_tile-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tlin {
namespace HWY_NAMESPACE {

void MultiplyF32(const GemmTask& task) { MultiplyPanels<F32Weights>(task); }

}  // namespace HWY_NAMESPACE
}  // namespace tlin
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <cstring>

namespace tlin {
namespace {

HWY_EXPORT(MultiplyF32);

void Prepare(const float* x, int64_t cols, uint32_t* row) {
  std::memcpy(row, x, cols * sizeof(float));
  if (cols % 2 != 0) row[cols] = 0;
}

void Multiply(const GemmTask& task) { HWY_DYNAMIC_DISPATCH(MultiplyF32)(task); }

}  // namespace

const GemmKernels& GemmF32() {
  static constexpr GemmKernels kKernels = {"f32", 1, &Prepare, &Multiply};
  return kKernels;
}

}  // namespace tlin
#endif  // HWY_ONCE
