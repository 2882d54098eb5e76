// Device memory and pinned host memory that are released with their objects.
#ifndef TLIN_ENGINE_BACKEND_CUDA_MEMORY_H_
#define TLIN_ENGINE_BACKEND_CUDA_MEMORY_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace tlin::cuda {

// Movable; an empty one has no memory.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  ~DeviceMemory() { cudaFree(data_); }
  DeviceMemory(DeviceMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  DeviceMemory& operator=(DeviceMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }

  // Not zeroed. RESOURCE_EXHAUSTED says how much was asked for and how much
  // there is.
  static absl::StatusOr<DeviceMemory> Allocate(int64_t bytes);

  // The same, with a copy of `values`; errors begin with `what`.
  template <class T>
  static absl::StatusOr<DeviceMemory> Upload(absl::Span<const T> values,
                                             absl::string_view what) {
    return UploadBytes(values.data(),
                       static_cast<int64_t>(sizeof(T) * values.size()), what);
  }

  std::byte* data() const { return data_; }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }
  int64_t size() const { return size_; }

 private:
  static absl::StatusOr<DeviceMemory> UploadBytes(const void* from,
                                                  int64_t bytes,
                                                  absl::string_view what);

  std::byte* data_ = nullptr;
  int64_t size_ = 0;
};

// The host's, at an address that the device can read and write by itself.
class PinnedMemory {
 public:
  PinnedMemory() = default;
  ~PinnedMemory() { cudaFreeHost(data_); }
  PinnedMemory(PinnedMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)) {}
  PinnedMemory& operator=(PinnedMemory&& other) noexcept {
    std::swap(data_, other.data_);
    return *this;
  }

  static absl::StatusOr<PinnedMemory> Allocate(int64_t bytes);

  std::byte* data() const { return data_; }

 private:
  std::byte* data_ = nullptr;
};

}  // namespace tlin::cuda

#endif  // TLIN_ENGINE_BACKEND_CUDA_MEMORY_H_
