// The CUDA backend on a GPU.
#include <cuda_runtime_api.h>

#include "engine/backend/cuda/cuda_backend.h"
#include "tests/backend/backend_fixture.h"

namespace tlin {

std::vector<BackendParam> Backends() {
  const auto copy = [](cudaMemcpyKind kind) {
    return [kind](const void* from, void* to, int64_t bytes) {
      EXPECT_EQ(cudaMemcpy(to, from, static_cast<size_t>(bytes), kind),
                cudaSuccess);
    };
  };
  const auto param = [&](const char* name, DType dtype, double tolerance) {
    const auto make = [dtype](const BackendShape& shape) {
      return cuda::CudaBackend::Create(0, dtype, shape);
    };
    return BackendParam{name,
                        make,
                        tolerance,
                        /*emulated=*/false,
                        /*simd_target=*/0,
                        copy(cudaMemcpyHostToDevice),
                        copy(cudaMemcpyDeviceToHost)};
  };
  return {param("f32", DType::kF32, 2e-5), param("bf16", DType::kBF16, 2e-2)};
}

}  // namespace tlin
