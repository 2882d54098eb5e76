// Matrices as cuBLAS has them: column-major, in device memory.
#ifndef TLIN_TESTS_CUDA_EMULATION_CUBLAS_MATRIX_H_
#define TLIN_TESTS_CUDA_EMULATION_CUBLAS_MATRIX_H_

#include <library_types.h>

#include <cstdint>

namespace cuda_emulation {

struct Layout {
  cudaDataType type;  // CUDA_R_32F or CUDA_R_16BF
  uint64_t rows;
  uint64_t cols;
  int64_t stride;  // elements from a column to the next
};

int64_t BytesOf(cudaDataType type);

// A Fault where the matrix reaches beyond its allocation.
void CheckOwned(const void* matrix, const Layout& layout);

// Column `col` as floats, [rows].
void ReadColumn(const void* matrix, const Layout& layout, uint64_t col,
                float* to);

// The sum of a[i] b[i] in one order, whoever asks.
float Dot(const float* a, const float* b, uint64_t count);

}  // namespace cuda_emulation

#endif  // TLIN_TESTS_CUDA_EMULATION_CUBLAS_MATRIX_H_
