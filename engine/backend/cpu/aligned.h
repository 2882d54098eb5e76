// Zeroed memory for vectors, straight from the system: pages that are never
// touched cost no resident memory.
#ifndef TLIN_ENGINE_BACKEND_CPU_ALIGNED_H_
#define TLIN_ENGINE_BACKEND_CPU_ALIGNED_H_

#include <cstddef>
#include <cstdint>
#include <memory>

namespace tlin {

// Aligned to a page; followed by 64 readable bytes, so that a vector load of
// the last elements may run over.
class AlignedBytes {
 public:
  AlignedBytes() = default;
  // data() is null where the system has no such memory.
  explicit AlignedBytes(int64_t size);
  ~AlignedBytes();
  AlignedBytes(AlignedBytes&& other) noexcept;
  AlignedBytes& operator=(AlignedBytes&& other) noexcept;

  std::byte* data() const { return data_; }
  int64_t size() const { return size_; }

 private:
  std::byte* data_ = nullptr;
  int64_t size_ = 0;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_BACKEND_CPU_ALIGNED_H_
