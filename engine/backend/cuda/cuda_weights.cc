#include "engine/backend/cuda/cuda_weights.h"

#include <vector>

#include "engine/backend/host_matrix.h"
#include "engine/base/status_macros.h"

namespace tlin::cuda {

absl::StatusOr<std::unique_ptr<CudaNorm>> CudaNorm::Create(
    const HostMatrix& weight, const HostMatrix& bias, int64_t size) {
  TLIN_RETURN_IF_ERROR(CheckNorm(weight, bias, size));
  std::vector<float> floats;
  for (int64_t i = 0; i < size; ++i) floats.push_back(HostElement(weight, i));
  for (int64_t i = 0; i < size; ++i) floats.push_back(HostElement(bias, i));
  TLIN_ASSIGN_OR_RETURN(
      DeviceMemory memory,
      DeviceMemory::Upload(absl::MakeConstSpan(floats), "a norm"));
  return std::unique_ptr<CudaNorm>(new CudaNorm(std::move(memory)));
}

}  // namespace tlin::cuda
