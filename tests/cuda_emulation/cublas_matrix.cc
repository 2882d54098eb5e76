#include "tests/cuda_emulation/cublas_matrix.h"

#include <cuda_bf16.h>

#include <cstddef>
#include <cstring>
#include <vector>

#include "tests/cuda_emulation/device.h"
#include "tests/cuda_emulation/location.h"

namespace cuda_emulation {
namespace {

// Column `col` as floats, [rows].
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

// op(A)'s rows, one after the other.
std::vector<float> RowsOf(const MatrixProduct& product) {
  const uint64_t m = product.d.rows;
  const uint64_t k = product.b.rows;
  std::vector<float> rows(m * k);
  if (product.transposed) {
    for (uint64_t row = 0; row < m; ++row) {
      ReadColumn(product.a_data, product.a, row, rows.data() + row * k);
    }
    return rows;
  }
  std::vector<float> column(m);
  for (uint64_t i = 0; i < k; ++i) {
    ReadColumn(product.a_data, product.a, i, column.data());
    for (uint64_t row = 0; row < m; ++row) rows[row * k + i] = column[row];
  }
  return rows;
}

}  // namespace

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

void Multiply(const MatrixProduct& product) {
  const Layout& d = product.d;
  const uint64_t k = product.b.rows;
  std::vector<float> columns(k * product.b.cols);
  for (uint64_t col = 0; col < product.b.cols; ++col) {
    ReadColumn(product.b_data, product.b, col, columns.data() + col * k);
  }
  const std::vector<float> rows = RowsOf(product);
  for (uint64_t row = 0; row < d.rows; ++row) {
    const float bias = product.bias == nullptr ? 0 : product.bias[row];
    for (uint64_t col = 0; col < d.cols; ++col) {
      const float value = product.alpha * Dot(rows.data() + row * k,
                                              columns.data() + col * k, k);
      const uint64_t at = col * d.stride + row;
      if (d.type == CUDA_R_32F) {
        float* const to = static_cast<float*>(product.d_data) + at;
        *to = (product.beta == 0 ? value : value + product.beta * *to) + bias;
      } else {
        static_cast<__nv_bfloat16*>(product.d_data)[at] =
            __float2bfloat16(value);
      }
    }
  }
}

}  // namespace cuda_emulation
