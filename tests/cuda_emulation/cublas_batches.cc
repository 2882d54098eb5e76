// The calls of cuBLAS that products in strided batches take, on the default
// stream: column-major C = alpha op(A) B, matrix by matrix, sums in f32. What
// cuBLAS would refuse is refused; a matrix that reaches beyond its memory is a
// Fault.
#include <cublas_v2.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "tests/cuda_emulation/cublas_matrix.h"
#include "tests/cuda_emulation/device.h"
#include "tests/cuda_emulation/stream.h"

namespace cuda_emulation {
namespace {

// The `index`th matrix of a batch.
const char* Matrix(const void* first, const Layout& layout, int64_t stride,
                   int index) {
  return static_cast<const char*>(first) +
         index * stride * BytesOf(layout.type);
}

bool Knows(cudaDataType type) {
  return type == CUDA_R_32F || type == CUDA_R_16BF;
}

}  // namespace
}  // namespace cuda_emulation

using cuda_emulation::CheckOwned;
using cuda_emulation::Knows;
using cuda_emulation::Layout;
using cuda_emulation::Matrix;
using cuda_emulation::MatrixProduct;
using cuda_emulation::StreamOf;
using cuda_emulation::TheDevice;
using cuda_emulation::Work;

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  *handle = reinterpret_cast<cublasHandle_t>(new int);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
  delete reinterpret_cast<int*>(handle);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGemmStridedBatchedEx(
    cublasHandle_t, cublasOperation_t transa, cublasOperation_t transb, int m,
    int n, int k, const void* alpha, const void* a, cudaDataType a_type,
    int lda, long long a_stride, const void* b, cudaDataType b_type, int ldb,
    long long b_stride, const void* beta, void* c, cudaDataType c_type, int ldc,
    long long c_stride, int batch_count, cublasComputeType_t compute,
    cublasGemmAlgo_t) {
  if (!Knows(a_type) || a_type != b_type || !Knows(c_type) ||
      (a_type == CUDA_R_32F && c_type != CUDA_R_32F) ||
      compute != CUBLAS_COMPUTE_32F || transb != CUBLAS_OP_N ||
      *static_cast<const float*>(beta) != 0) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  const bool transposed = transa == CUBLAS_OP_T;
  if (m < 0 || n < 0 || k < 0 || batch_count < 0 ||
      lda < (transposed ? k : m) || ldb < k || ldc < m) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (TheDevice().lost() != cudaSuccess) return CUBLAS_STATUS_EXECUTION_FAILED;
  const auto layout = [](cudaDataType type, int rows, int cols, int stride) {
    return Layout{type, static_cast<uint64_t>(rows),
                  static_cast<uint64_t>(cols), stride};
  };
  MatrixProduct product = {
      transposed,
      layout(a_type, transposed ? k : m, transposed ? m : k, lda),
      layout(b_type, k, n, ldb),
      layout(c_type, m, n, ldc),
      nullptr,
      nullptr,
      nullptr,
      /*bias=*/nullptr,
      *static_cast<const float*>(alpha),
      /*beta=*/0};
  std::vector<MatrixProduct> batch;
  for (int i = 0; i < batch_count; ++i) {
    product.a_data = Matrix(a, product.a, a_stride, i);
    product.b_data = Matrix(b, product.b, b_stride, i);
    product.d_data = const_cast<char*>(Matrix(c, product.d, c_stride, i));
    CheckOwned(product.a_data, product.a);
    CheckOwned(product.b_data, product.b);
    CheckOwned(product.d_data, product.d);
    batch.push_back(product);
  }
  StreamOf(nullptr).Enqueue({Work::Kind::kKernel, [batch = std::move(batch)] {
                               for (const MatrixProduct& one : batch) {
                                 cuda_emulation::Multiply(one);
                               }
                             }});
  return CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"
