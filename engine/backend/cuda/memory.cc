#include "engine/backend/cuda/memory.h"

#include "absl/strings/str_cat.h"
#include "engine/backend/cuda/cuda_status.h"
#include "engine/base/status_macros.h"

namespace tlin::cuda {
namespace {

// cudaMalloc gives null for nothing.
size_t AtLeastOne(int64_t bytes) {
  return bytes == 0 ? 1 : static_cast<size_t>(bytes);
}

absl::Status CheckSize(int64_t bytes) {
  if (bytes >= 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("memory of ", bytes, " bytes"));
}

}  // namespace

absl::StatusOr<DeviceMemory> DeviceMemory::Allocate(int64_t bytes) {
  TLIN_RETURN_IF_ERROR(CheckSize(bytes));
  void* data = nullptr;
  const cudaError_t error = cudaMalloc(&data, AtLeastOne(bytes));
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // it is told by the status
    size_t free = 0;
    size_t total = 0;
    cudaMemGetInfo(&free, &total);
    return absl::ResourceExhaustedError(
        absl::StrCat("the GPU has no ", bytes, " bytes more: ", free, " of ",
                     total, " are free"));
  }
  TLIN_RETURN_IF_ERROR(CudaStatus(error, "device memory"));
  DeviceMemory memory;
  memory.data_ = static_cast<std::byte*>(data);
  memory.size_ = bytes;
  return memory;
}

absl::StatusOr<DeviceMemory> DeviceMemory::UploadBytes(const void* from,
                                                       int64_t bytes,
                                                       absl::string_view what) {
  TLIN_ASSIGN_OR_RETURN(DeviceMemory memory, Allocate(bytes));
  TLIN_RETURN_IF_ERROR(
      CudaStatus(cudaMemcpy(memory.data(), from, static_cast<size_t>(bytes),
                            cudaMemcpyHostToDevice),
                 absl::StrCat("upload of ", what)));
  return memory;
}

absl::StatusOr<PinnedMemory> PinnedMemory::Allocate(int64_t bytes) {
  TLIN_RETURN_IF_ERROR(CheckSize(bytes));
  void* data = nullptr;
  TLIN_RETURN_IF_ERROR(CudaStatus(cudaMallocHost(&data, AtLeastOne(bytes)),
                                  absl::StrCat(bytes, " pinned bytes")));
  PinnedMemory memory;
  memory.data_ = static_cast<std::byte*>(data);
  return memory;
}

}  // namespace tlin::cuda
