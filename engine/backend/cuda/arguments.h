// Arrays that operations bring along (token ids, positions, places), on their
// way to the device.
#ifndef TLIN_ENGINE_BACKEND_CUDA_ARGUMENTS_H_
#define TLIN_ENGINE_BACKEND_CUDA_ARGUMENTS_H_

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/backend/cuda/memory.h"
#include "engine/base/check.h"

namespace tlin::cuda {

// A pinned buffer and its twin on the device. What is put in the one is copied
// to the same place of the other, and stays there until Recycle. Arrays are put
// one after the other; lists, whose lengths may differ from step to step, are
// put by themselves, so that they move no array. Engine thread.
class Arguments {
 public:
  // Without room for lists they take that of the arrays.
  static absl::StatusOr<Arguments> Create(int64_t array_bytes,
                                          int64_t list_bytes = 0);

  int64_t bytes() const { return device_.size(); }
  int64_t list_bytes() const { return lists_.end - lists_.begin; }

  // There is room for arrays (and lists, where they share it) of so many bytes,
  // each rounded up.
  bool HasRoom(int64_t bytes) const {
    return arrays_.used + bytes <= arrays_.end;
  }
  // An array of `size` elements, `values` and then `filler`.
  // REQUIRES: there is room for it; size >= values.size().
  template <class T>
  T* Put(absl::Span<const T> values, size_t size, const T& filler) {
    T* const place = Place<T>(size, &arrays_);
    T* const host = HostOf(place);
    std::copy(values.begin(), values.end(), host);
    std::fill(host + values.size(), host + size, filler);
    return place;
  }
  template <class T>
  T* PutList(absl::Span<const T> values) {
    T* const place =
        Place<T>(values.size(), lists_.end > lists_.begin ? &lists_ : &arrays_);
    std::copy(values.begin(), values.end(), HostOf(place));
    return place;
  }
  // Enqueues the copy of what was put since the last one.
  cudaError_t Send(cudaStream_t stream);
  // REQUIRES: the stream has done all that uses them.
  void Recycle();

  static constexpr int64_t RoundUp(int64_t bytes) {
    return (bytes + 15) / 16 * 16;
  }
  // What an array or a list of so many elements takes.
  template <class T>
  static constexpr int64_t BytesOf(size_t size) {
    return RoundUp(static_cast<int64_t>(sizeof(T) * size));
  }

 private:
  struct Region {
    int64_t begin = 0;
    int64_t end = 0;
    int64_t used = 0;
    int64_t sent = 0;
  };

  // In device memory.
  template <class T>
  T* Place(size_t size, Region* region) {
    auto* const place = reinterpret_cast<T*>(device_.data() + region->used);
    region->used += RoundUp(static_cast<int64_t>(sizeof(T) * size));
    TLIN_CHECK(region->used <= region->end);
    return place;
  }
  template <class T>
  T* HostOf(T* place) const {
    return reinterpret_cast<T*>(
        host_.data() + (reinterpret_cast<std::byte*>(place) - device_.data()));
  }
  cudaError_t Send(Region* region, cudaStream_t stream);

  PinnedMemory host_;
  DeviceMemory device_;
  Region arrays_;
  Region lists_;
};

}  // namespace tlin::cuda

#endif  // TLIN_ENGINE_BACKEND_CUDA_ARGUMENTS_H_
