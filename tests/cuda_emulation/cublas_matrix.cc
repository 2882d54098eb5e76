#include "tests/cuda_emulation/cublas_matrix.h"

#include <cstddef>
#include <cstring>

#include "tests/cuda_emulation/device.h"
#include "tests/cuda_emulation/location.h"

namespace cuda_emulation {

int64_t BytesOf(cudaDataType type) { return type == CUDA_R_32F ? 4 : 2; }

void CheckOwned(const void* matrix, const Layout& layout) {
  const uint64_t elements =
      layout.rows == 0 || layout.cols == 0
          ? 0
          : (layout.cols - 1) * layout.stride + layout.rows;
  if (!TheDevice().memory().Owns(matrix, elements * BytesOf(layout.type))) {
    HostFault("a matrix of a product reaches beyond its memory");
  }
}

void ReadColumn(const void* matrix, const Layout& layout, uint64_t col,
                float* to) {
  const auto* const from = static_cast<const char*>(matrix) +
                           col * layout.stride * BytesOf(layout.type);
  if (layout.type == CUDA_R_32F) {
    std::memcpy(to, from, layout.rows * sizeof(float));
    return;
  }
  for (uint64_t i = 0; i < layout.rows; ++i) {
    uint16_t half;
    std::memcpy(&half, from + 2 * i, sizeof(half));
    const uint32_t bits = static_cast<uint32_t>(half) << 16;
    std::memcpy(to + i, &bits, sizeof(float));
  }
}

// In 16 sums of which each has every 16th element, so that it is not slow.
float Dot(const float* a, const float* b, uint64_t count) {
  constexpr uint64_t kSums = 16;
  float sums[kSums] = {};
  uint64_t i = 0;
  for (; i + kSums <= count; i += kSums) {
    for (uint64_t j = 0; j < kSums; ++j) sums[j] += a[i + j] * b[i + j];
  }
  for (; i < count; ++i) sums[i % kSums] += a[i] * b[i];
  float sum = 0;
  for (const float part : sums) sum += part;
  return sum;
}

}  // namespace cuda_emulation
