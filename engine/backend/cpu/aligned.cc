#include "engine/backend/cpu/aligned.h"

#include <sys/mman.h>

#include <utility>

namespace tlin {
namespace {

constexpr int64_t kSlack = 64;

}  // namespace

AlignedBytes::AlignedBytes(int64_t size) {
  if (size < 0 || size > INT64_MAX - kSlack) return;
  void* const mapped =
      mmap(nullptr, static_cast<size_t>(size + kSlack), PROT_READ | PROT_WRITE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return;
  data_ = static_cast<std::byte*>(mapped);
  size_ = size;
}

AlignedBytes::~AlignedBytes() {
  if (data_ != nullptr) munmap(data_, static_cast<size_t>(size_ + kSlack));
}

AlignedBytes::AlignedBytes(AlignedBytes&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

AlignedBytes& AlignedBytes::operator=(AlignedBytes&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

}  // namespace tlin
