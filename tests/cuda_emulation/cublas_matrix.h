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

// D = alpha op(A) B + beta D (+ bias), op(A) being A^T where `transposed`. Sums
// are in f32, over k in one order for every element. D is f32 or, with beta 0
// and no bias, bf16.
struct MatrixProduct {
  bool transposed;
  Layout a;
  Layout b;
  Layout d;
  const void* a_data;
  const void* b_data;
  void* d_data;
  const float* bias;  // f32 [rows of D]; may be null
  float alpha;
  float beta;
};
void Multiply(const MatrixProduct& product);

}  // namespace cuda_emulation

#endif  // TLIN_TESTS_CUDA_EMULATION_CUBLAS_MATRIX_H_
