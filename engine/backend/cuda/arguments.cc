#include "engine/backend/cuda/arguments.h"

#include "engine/base/status_macros.h"

namespace tlin::cuda {

absl::StatusOr<Arguments> Arguments::Create(int64_t array_bytes,
                                            int64_t list_bytes) {
  Arguments arguments;
  const int64_t arrays = RoundUp(array_bytes);
  const int64_t all = arrays + RoundUp(list_bytes);
  TLIN_ASSIGN_OR_RETURN(arguments.host_, PinnedMemory::Allocate(all));
  TLIN_ASSIGN_OR_RETURN(arguments.device_, DeviceMemory::Allocate(all));
  arguments.arrays_.end = arrays;
  arguments.lists_.begin = arrays;
  arguments.lists_.end = all;
  arguments.Recycle();
  return arguments;
}

cudaError_t Arguments::Send(Region* region, cudaStream_t stream) {
  const int64_t begin = region->sent;
  if (begin == region->used) return cudaSuccess;
  region->sent = region->used;
  return cudaMemcpyAsync(device_.data() + begin, host_.data() + begin,
                         static_cast<size_t>(region->used - begin),
                         cudaMemcpyHostToDevice, stream);
}

cudaError_t Arguments::Send(cudaStream_t stream) {
  const cudaError_t error = Send(&arrays_, stream);
  return error == cudaSuccess ? Send(&lists_, stream) : error;
}

void Arguments::Recycle() {
  arrays_.used = arrays_.sent = arrays_.begin;
  lists_.used = lists_.sent = lists_.begin;
}

}  // namespace tlin::cuda
