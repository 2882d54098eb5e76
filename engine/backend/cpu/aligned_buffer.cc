#include "engine/backend/cpu/aligned_buffer.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace tlin {
namespace {

constexpr int64_t kAlignment = 64;
// Weights are read end to end for every token: with 4 KiB pages that is one
// address translation for every 4 KiB, with these one for 2 MiB.
constexpr int64_t kLargePage = int64_t{2} << 20;

}  // namespace

AlignedBuffer::~AlignedBuffer() { std::free(data_); }

AlignedBuffer::AlignedBuffer(AlignedBuffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

AlignedBuffer& AlignedBuffer::operator=(AlignedBuffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

absl::StatusOr<AlignedBuffer> AlignedBuffer::Allocate(int64_t bytes) {
  if (bytes < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("buffer of ", bytes, " bytes"));
  }
  const int64_t alignment = bytes >= kLargePage ? kLargePage : kAlignment;
  if (bytes > std::numeric_limits<int64_t>::max() - alignment) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no memory for a buffer of ", bytes, " bytes"));
  }
  const int64_t rounded = (bytes + alignment - 1) / alignment * alignment;
  void* memory =
      std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
  if (memory == nullptr) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no memory for a buffer of ", bytes, " bytes"));
  }
  if (alignment == kLargePage) {
    madvise(memory, rounded, MADV_HUGEPAGE);  // a wish: failing changes nothing
  }
  // Whole pages that are given back read as zero, and take no memory until they
  // are written: most of a history pool never is.
  if (alignment != kLargePage || madvise(memory, rounded, MADV_DONTNEED) != 0) {
    std::memset(memory, 0, rounded == 0 ? alignment : rounded);
  }
  AlignedBuffer buffer;
  buffer.data_ = static_cast<std::byte*>(memory);
  buffer.size_ = bytes;
  return buffer;
}

}  // namespace tlin
