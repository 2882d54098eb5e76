// Weights and buffers in the CUDA backend's form, and the casts from the
// interface's types.
#ifndef TLIN_ENGINE_BACKEND_CUDA_CUDA_WEIGHTS_H_
#define TLIN_ENGINE_BACKEND_CUDA_CUDA_WEIGHTS_H_

#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "engine/backend/backend.h"
#include "engine/backend/cuda/gemm.h"
#include "engine/backend/cuda/memory.h"

namespace tlin::cuda {

class CudaNorm final : public Norm {
 public:
  // INVALID_ARGUMENT unless both have `size` elements.
  static absl::StatusOr<std::unique_ptr<CudaNorm>> Create(
      const HostMatrix& weight, const HostMatrix& bias, int64_t size);

  int64_t bytes() const override { return memory_.size(); }
  const float* floats() const { return memory_.as<float>(); }

 private:
  explicit CudaNorm(DeviceMemory memory) : memory_(std::move(memory)) {}

  const DeviceMemory memory_;  // weight, then bias
};

class CudaBuffer final : public DeviceBuffer {
 public:
  explicit CudaBuffer(DeviceMemory memory) : memory_(std::move(memory)) {}
  std::byte* data() override { return memory_.data(); }
  int64_t size() const override { return memory_.size(); }

 private:
  const DeviceMemory memory_;
};

// A backend's weights come back to the backend that made them.
inline const CudaLinear& Cuda(const Linear& linear) {
  return static_cast<const CudaLinear&>(linear);
}
inline const CudaNorm& Cuda(const Norm& norm) {
  return static_cast<const CudaNorm&>(norm);
}

}  // namespace tlin::cuda

#endif  // TLIN_ENGINE_BACKEND_CUDA_CUDA_WEIGHTS_H_
