// The CPU backend: both dtypes, each instruction set that it has code for.
#include <cstring>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/backend/cpu/gemm_kernels.h"
#include "hwy/targets.h"
#include "tests/backend/backend_fixture.h"
#include "tests/testing/forced_simd.h"

namespace tlin {

std::vector<BackendParam> Backends() {
  const auto copy = [](const void* from, void* to, int64_t bytes) {
    if (bytes > 0) std::memcpy(to, from, bytes);  // else both may be null
  };
  const auto param = [&](const char* name, DType dtype, int threads,
                         int64_t target, const GemmKernels* kernels) {
    const auto make = [=](const BackendShape& shape) {
      return CpuBackend::Create(shape, dtype, threads, kernels);
    };
    const double tolerance = dtype == DType::kF32 ? 2e-5 : 2e-2;
    return BackendParam{name,   make, tolerance, /*emulated=*/false,
                        target, copy, copy};
  };
  std::vector<BackendParam> params = {
      param("f32", DType::kF32, 2, 0, nullptr),
      param("bf16", DType::kBF16, 2, 0, &GemmBf16())};
#if defined(__SANITIZE_THREAD__)
  return params;  // threads do the same whatever the instructions: minutes less
#endif
  if ((RunnableSimd() & HWY_SCALAR) != 0) {
    params.push_back(param("f32_scalar", DType::kF32, 1, HWY_SCALAR, nullptr));
    params.push_back(
        param("bf16_scalar", DType::kBF16, 1, HWY_SCALAR, &GemmBf16()));
  }
  if ((RunnableSimd() & HWY_AVX2) != 0) {
    params.push_back(param("f32_avx2", DType::kF32, 2, HWY_AVX2, nullptr));
    params.push_back(
        param("bf16_avx2", DType::kBF16, 2, HWY_AVX2, &GemmBf16()));
  }
  if (GemmBf16Dot() != nullptr) {
    params.push_back(param("bf16_dot", DType::kBF16, 2, 0, GemmBf16Dot()));
  }
  return params;
}

}  // namespace tlin
