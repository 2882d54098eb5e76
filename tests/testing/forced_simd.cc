#include "tests/testing/forced_simd.h"

#include "engine/backend/cpu/simd_targets.h"
#include "engine/base/check.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tests/testing/forced_simd.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tlin {
namespace HWY_NAMESPACE {

int64_t CompiledFor() { return HWY_TARGET; }

}  // namespace HWY_NAMESPACE
}  // namespace tlin
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace tlin {

HWY_EXPORT(CompiledFor);

int64_t RunnableSimd() { return hwy::SupportedTargets() & HWY_TARGETS; }

int64_t DispatchedSimd() { return HWY_DYNAMIC_DISPATCH(CompiledFor)(); }

void ForceSimd(int64_t target) {
  hwy::SetSupportedTargetsForTest(target);
  if (target != 0) TLIN_CHECK(DispatchedSimd() == target);
}

int64_t SimdByName(absl::string_view name) {
  return name == "scalar"   ? HWY_SCALAR
         : name == "avx2"   ? HWY_AVX2
         : name == "avx512" ? HWY_AVX3
         : name == "neon"   ? HWY_NEON
                            : 0;
}

}  // namespace tlin

#endif  // HWY_ONCE
