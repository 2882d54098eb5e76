#include "engine/backend/cuda/arguments.h"

#include "engine/base/status_macros.h"

namespace tlin::cuda {

absl::StatusOr<Arguments> Arguments::Create(int64_t bytes) {
  Arguments arguments;
  TLIN_ASSIGN_OR_RETURN(arguments.host_, PinnedMemory::Allocate(bytes));
  TLIN_ASSIGN_OR_RETURN(arguments.device_, DeviceMemory::Allocate(bytes));
  return arguments;
}

cudaError_t Arguments::Send(cudaStream_t stream) {
  if (sent_ == used_) return cudaSuccess;
  const int64_t begin = sent_;
  sent_ = used_;
  return cudaMemcpyAsync(device_.data() + begin, host_.data() + begin,
                         static_cast<size_t>(used_ - begin),
                         cudaMemcpyHostToDevice, stream);
}

}  // namespace tlin::cuda
