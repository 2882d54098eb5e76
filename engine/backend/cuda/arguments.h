// Arrays that operations bring along (token ids, positions, places), on their
// way to the device.
#ifndef TLIN_ENGINE_BACKEND_CUDA_ARGUMENTS_H_
#define TLIN_ENGINE_BACKEND_CUDA_ARGUMENTS_H_

#include <cuda_runtime_api.h>

#include <cstdint>
#include <cstring>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/backend/cuda/memory.h"

namespace tlin::cuda {

// A pinned buffer and its twin on the device. What is put in the one is copied
// to the same place of the other, and stays there until Recycle. Engine thread.
class Arguments {
 public:
  static absl::StatusOr<Arguments> Create(int64_t bytes);

  int64_t bytes() const { return device_.size(); }

  // There is room for an array of so many bytes.
  bool HasRoom(int64_t bytes) const {
    return used_ + RoundUp(bytes) <= device_.size();
  }
  // REQUIRES: HasRoom(sizeof(T) * values.size()).
  template <class T>
  const T* Put(absl::Span<const T> values) {
    const auto bytes = static_cast<int64_t>(sizeof(T) * values.size());
    if (bytes > 0) std::memcpy(host_.data() + used_, values.data(), bytes);
    const T* const place = reinterpret_cast<const T*>(device_.data() + used_);
    used_ += RoundUp(bytes);
    return place;
  }
  // Enqueues the copy of what was put since the last one.
  cudaError_t Send(cudaStream_t stream);
  // REQUIRES: the stream has done all that uses them.
  void Recycle() { used_ = sent_ = 0; }

  static constexpr int64_t RoundUp(int64_t bytes) {
    return (bytes + 15) / 16 * 16;
  }

 private:
  PinnedMemory host_;
  DeviceMemory device_;
  int64_t used_ = 0;
  int64_t sent_ = 0;
};

}  // namespace tlin::cuda

#endif  // TLIN_ENGINE_BACKEND_CUDA_ARGUMENTS_H_
