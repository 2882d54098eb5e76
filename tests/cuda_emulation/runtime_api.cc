// The calls of the CUDA runtime, but for streams, events and graphs
// (stream.cc). Limits are those of compute capability 9.0.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "tests/cuda_emulation/device.h"
#include "tests/cuda_emulation/grid.h"
#include "tests/cuda_emulation/launch.h"
#include "tests/cuda_emulation/stream.h"

namespace cuda_emulation {
namespace {

constexpr int kMaxThreads = 1024;
constexpr size_t kSharedWithoutAsking = 48 << 10;
constexpr size_t kMostShared = 227 << 10;
constexpr int kProcessors = 132;

Device& device() { return TheDevice(); }

// Where the device cannot be used any more: why.
cudaError_t Lost() { return device().Say(device().lost()); }

// Memory that the device can reach by a copy: its own, or pinned.
bool Reaches(const void* memory, size_t bytes) {
  return device().memory().Owns(memory, bytes) ||
         device().IsPinned(memory, bytes);
}

cudaError_t EnqueueCopy(void* to, const void* from, size_t bytes,
                        cudaStream_t handle) {
  if (device().lost() != cudaSuccess) return Lost();
  Stream& stream = StreamOf(handle);
  if (Reaches(to, bytes) && Reaches(from, bytes)) {
    const bool within = device().memory().Owns(to, bytes) &&
                        device().memory().Owns(from, bytes);
    stream.Enqueue({Work::Kind::kCopy, [to, from, bytes, within] {
                      std::memcpy(to, from, bytes);
                      if (!within) return;
                      device().counts.copied_bytes +=
                          2 * static_cast<int64_t>(bytes);
                    }});
    return cudaSuccess;
  }
  // Pageable memory is read at once, and written before the call returns.
  if (stream.capturing())
    return device().Say(cudaErrorStreamCaptureUnsupported);
  if (Reaches(to, bytes)) {
    const auto* const begin = static_cast<const char*>(from);
    stream.Enqueue({Work::Kind::kCopy,
                    [to, data = std::vector<char>(begin, begin + bytes)] {
                      std::memcpy(to, data.data(), data.size());
                    }});
    return cudaSuccess;
  }
  if (!Reaches(from, bytes)) return device().Say(cudaErrorInvalidValue);
  stream.RunAll();
  const DeviceMemory::Access access(&device().memory());
  std::memcpy(to, from, bytes);
  return Lost();
}

bool Allowed(dim3 grid, dim3 block) {
  const size_t threads = size_t{block.x} * block.y * block.z;
  return threads >= 1 && threads <= kMaxThreads && block.z <= 64 &&
         grid.x >= 1 && grid.y >= 1 && grid.z >= 1 && grid.y <= 65535 &&
         grid.z <= 65535;
}

}  // namespace

cudaError_t LaunchKernel(const void* kernel, dim3 grid, dim3 block,
                         size_t shared_bytes, cudaStream_t handle,
                         std::function<void()> body) {
  if (device().lost() != cudaSuccess) return Lost();
  if (Device::Strikes(&device().fail_launch)) {
    return device().Say(cudaErrorLaunchOutOfResources);
  }
  if (!Allowed(grid, block)) return device().Say(cudaErrorInvalidConfiguration);
  const auto limit = device().shared_limits.find(kernel);
  if (shared_bytes > (limit == device().shared_limits.end()
                          ? kSharedWithoutAsking
                          : limit->second)) {
    return device().Say(cudaErrorInvalidValue);
  }
  Stream& stream = StreamOf(handle);
  if (!stream.capturing()) ++device().counts.launches;
  stream.Enqueue({Work::Kind::kKernel,
                  [grid, block, shared_bytes, body = std::move(body)] {
                    if (Device::Strikes(&device().fail_execution)) {
                      return device().Lose();
                    }
                    RunGrid(grid, block, shared_bytes, body);
                  }});
  return cudaSuccess;
}

}  // namespace cuda_emulation

using cuda_emulation::Device;
using cuda_emulation::DeviceMemory;
using cuda_emulation::HostFault;
using cuda_emulation::StreamOf;
using cuda_emulation::TheDevice;
using cuda_emulation::Work;

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  if (TheDevice().device_count == 0) {
    return TheDevice().Say(TheDevice().no_device);
  }
  *count = TheDevice().device_count;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int index) {
  if (index < 0 || index >= TheDevice().device_count) {
    return TheDevice().Say(cudaErrorInvalidDevice);
  }
  return TheDevice().Say(TheDevice().lost());
}

cudaError_t cudaDeviceGetAttribute(int* value, enum cudaDeviceAttr attribute,
                                   int) {
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor:
      *value = 9;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = 0;
      break;
    case cudaDevAttrMultiProcessorCount:
      *value = cuda_emulation::kProcessors;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = cuda_emulation::kMostShared;
      break;
    default:
      return TheDevice().Say(cudaErrorInvalidValue);
  }
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *free = TheDevice().memory().free();
  *total = TheDevice().memory().total();
  return TheDevice().Say(TheDevice().lost());
}

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  Device& device = TheDevice();
  if (device.lost() != cudaSuccess) return device.Say(device.lost());
  ++device.counts.allocations;
  device.counts.allocated_bytes += static_cast<int64_t>(bytes);
  *memory = Device::Strikes(&device.fail_allocation)
                ? nullptr
                : device.memory().Allocate(bytes);
  return device.Say(*memory == nullptr ? cudaErrorMemoryAllocation
                                       : cudaSuccess);
}

cudaError_t cudaFree(void* memory) {
  if (memory == nullptr) return cudaSuccess;
  cuda_emulation::RunAllStreams();
  if (!TheDevice().memory().Free(memory)) {
    HostFault("cudaFree of what is no allocation");
  }
  return TheDevice().Say(TheDevice().lost());
}

cudaError_t cudaMallocHost(void** memory, size_t bytes) {
  Device& device = TheDevice();
  if (device.lost() != cudaSuccess) return device.Say(device.lost());
  *memory = Device::Strikes(&device.fail_pinned_allocation)
                ? nullptr
                : std::malloc(std::max<size_t>(bytes, 1));
  if (*memory == nullptr) return device.Say(cudaErrorMemoryAllocation);
  std::memset(*memory, 0xff, bytes);
  device.pinned[static_cast<char*>(*memory)] = bytes;
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* memory) {
  if (memory == nullptr) return cudaSuccess;
  cuda_emulation::RunAllStreams();
  if (TheDevice().pinned.erase(static_cast<char*>(memory)) == 0) {
    HostFault("cudaFreeHost of what is not pinned");
  }
  std::free(memory);
  return TheDevice().Say(TheDevice().lost());
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes,
                            enum cudaMemcpyKind, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  return cuda_emulation::EnqueueCopy(to, from, bytes, stream);
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes,
                       enum cudaMemcpyKind kind) {
  const cudaError_t copied = cudaMemcpyAsync(to, from, bytes, kind, nullptr);
  if (copied != cudaSuccess) return copied;
  return cudaStreamSynchronize(nullptr);
}

cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes,
                            cudaStream_t stream) {
  if (TheDevice().lost() != cudaSuccess) {
    return TheDevice().Say(TheDevice().lost());
  }
  if (bytes == 0) return cudaSuccess;
  if (!TheDevice().memory().Owns(memory, bytes)) {
    return TheDevice().Say(cudaErrorInvalidValue);
  }
  StreamOf(stream).Enqueue({Work::Kind::kCopy, [memory, value, bytes] {
                              std::memset(memory, value, bytes);
                            }});
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void* kernel,
                                 enum cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
      static_cast<size_t>(value) > cuda_emulation::kMostShared) {
    return TheDevice().Say(cudaErrorInvalidValue);
  }
  TheDevice().shared_limits[kernel] = static_cast<size_t>(value);
  return cudaSuccess;
}

cudaError_t cudaGetLastError() { return TheDevice().TakeLastError(); }
const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorInsufficientDriver:
      return "cudaErrorInsufficientDriver";
    case cudaErrorIllegalAddress:
      return "cudaErrorIllegalAddress";
    case cudaErrorLaunchOutOfResources:
      return "cudaErrorLaunchOutOfResources";
    default:
      return "an error of the emulated GPU";
  }
}

const char* cudaGetErrorString(cudaError_t error) {
  return cudaGetErrorName(error);
}

}  // extern "C"
