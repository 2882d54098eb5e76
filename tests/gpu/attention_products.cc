#include "tests/gpu/attention_products.h"

#include <cmath>

#include "engine/backend/cuda/gemm.h"
#include "engine/base/status_macros.h"

namespace tlin::cuda {

absl::StatusOr<std::unique_ptr<AttentionProducts>> AttentionProducts::Create(
    DType dtype, const HeadShape& heads, int32_t rows, int32_t keys) {
  std::unique_ptr<AttentionProducts> products(
      new AttentionProducts(dtype, heads, rows, keys));
  TLIN_ASSIGN_OR_RETURN(products->scores_,
                        DeviceMemory::Allocate(int64_t{heads.n_head} * rows *
                                               keys * DTypeBytes(dtype)));
  TLIN_RETURN_IF_ERROR(
      CublasStatus(cublasCreate(&products->handle_), "cuBLAS"));
  return products;
}

AttentionProducts::~AttentionProducts() {
  if (handle_ != nullptr) cublasDestroy(handle_);
}

absl::Status AttentionProducts::Run(const void* q, const KvBlock& block,
                                    float* out) const {
  const cudaDataType type = dtype_ == DType::kF32 ? CUDA_R_32F : CUDA_R_16BF;
  const int32_t size = heads_.head_size;
  const auto width = static_cast<int>(heads_.width());
  // A block's heads follow each other, keys before values (kv_layout.h).
  const int64_t head_stride = KvBlockRows(block.capacity) * size;
  const std::byte* const values =
      block.data + heads_.n_head * head_stride * DTypeBytes(dtype_);
  const int64_t scores_stride = int64_t{rows_} * keys_;
  const float scale = 1 / std::sqrt(static_cast<float>(size));
  const float one = 1;
  const float zero = 0;
  // Column-major, as cuBLAS sees it: scores^T = keys q^T.
  TLIN_RETURN_IF_ERROR(CublasStatus(
      cublasGemmStridedBatchedEx(
          handle_, CUBLAS_OP_T, CUBLAS_OP_N, keys_, rows_, size, &scale,
          block.data, type, size, head_stride, q, type, width, size, &zero,
          scores_.data(), type, keys_, scores_stride, heads_.n_head,
          CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
      "scores"));
  // out^T = values^T scores^T.
  return CublasStatus(
      cublasGemmStridedBatchedEx(
          handle_, CUBLAS_OP_N, CUBLAS_OP_N, size, rows_, keys_, &one, values,
          type, size, head_stride, scores_.data(), type, keys_, scores_stride,
          &zero, out, CUDA_R_32F, width, size, heads_.n_head,
          CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
      "weighted values");
}

int64_t AttentionProducts::bytes() const {
  const int64_t width = heads_.width();
  const int64_t scores = int64_t{heads_.n_head} * rows_ * keys_;
  return (rows_ * width + 2 * keys_ * width + 2 * scores) * DTypeBytes(dtype_) +
         rows_ * width * static_cast<int64_t>(sizeof(float));
}

}  // namespace tlin::cuda
