// The CUDA backend, on the emulated GPU.
#include <cuda_runtime_api.h>

#include "engine/backend/cuda/cuda_backend.h"
#include "tests/backend/backend_fixture.h"
#include "tests/cuda_emulation/control.h"

namespace tlin {

std::vector<BackendParam> Backends() {
  cuda_emulation::SetProtection(100);
  const auto upload = [](const void* from, void* to, int64_t bytes) {
    EXPECT_EQ(cudaMemcpy(to, from, static_cast<size_t>(bytes),
                         cudaMemcpyHostToDevice),
              cudaSuccess);
  };
  const auto download = [](const void* from, void* to, int64_t bytes) {
    EXPECT_EQ(cudaMemcpy(to, from, static_cast<size_t>(bytes),
                         cudaMemcpyDeviceToHost),
              cudaSuccess);
  };
  const auto param = [&](const char* name, DType dtype, double tolerance) {
    const auto make = [dtype](const BackendShape& shape) {
      return cuda::CudaBackend::Create(0, dtype, shape);
    };
    return BackendParam{
        name,   make,    tolerance, /*emulated=*/true, /*simd_target=*/0,
        upload, download};
  };
  return {param("f32", DType::kF32, 2e-5), param("bf16", DType::kBF16, 2e-2)};
}

}  // namespace tlin
