// Zeroed memory, aligned for vectors, in large pages where the system has them.
#ifndef TLIN_ENGINE_BACKEND_CPU_ALIGNED_BUFFER_H_
#define TLIN_ENGINE_BACKEND_CPU_ALIGNED_BUFFER_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"

namespace tlin {

// Owns its memory. Movable.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  ~AlignedBuffer();
  AlignedBuffer(AlignedBuffer&& other) noexcept;
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept;

  // INVALID_ARGUMENT for negative sizes, RESOURCE_EXHAUSTED without room.
  static absl::StatusOr<AlignedBuffer> Allocate(int64_t bytes);

  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  int64_t size() const { return size_; }  // bytes, as asked for

 private:
  std::byte* data_ = nullptr;
  int64_t size_ = 0;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_BACKEND_CPU_ALIGNED_BUFFER_H_
