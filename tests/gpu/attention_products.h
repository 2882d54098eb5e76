// Attention's two products, all heads at once, by cuBLAS' strided batches, with
// the scores in memory between them: what the attention kernels of
// engine/backend/cuda, which keep scores on the chip, are measured against.
// There is no softmax, so it is the least that attention by cuBLAS would take.
#ifndef TLIN_TESTS_GPU_ATTENTION_PRODUCTS_H_
#define TLIN_TESTS_GPU_ATTENTION_PRODUCTS_H_

#include <cublas_v2.h>

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/backend/cuda/kernels.h"
#include "engine/backend/cuda/memory.h"
#include "engine/backend/dtype.h"
#include "engine/backend/kv_block.h"

namespace tlin::cuda {

class AttentionProducts {
 public:
  // Of `rows` queries with blocks of `keys` keys.
  // RESOURCE_EXHAUSTED without memory for the scores.
  static absl::StatusOr<std::unique_ptr<AttentionProducts>> Create(
      DType dtype, const HeadShape& heads, int32_t rows, int32_t keys);
  ~AttentionProducts();

  // out = (q keys^T / sqrt(head size)) values, head by head. Enqueues on the
  // default stream. In device memory: q of dtype [rows, D], out f32 [rows, D].
  // REQUIRES: block.rows == keys.
  absl::Status Run(const void* q, const KvBlock& block, float* out) const;

  // What Run moves, each byte that a product touches once.
  int64_t bytes() const;

 private:
  AttentionProducts(DType dtype, const HeadShape& heads, int32_t rows,
                    int32_t keys)
      : dtype_(dtype), heads_(heads), rows_(rows), keys_(keys) {}

  const DType dtype_;
  const HeadShape heads_;
  const int32_t rows_;
  const int32_t keys_;
  DeviceMemory scores_;  // of dtype [n_head, rows, keys]
  cublasHandle_t handle_ = nullptr;
};

}  // namespace tlin::cuda

#endif  // TLIN_TESTS_GPU_ATTENTION_PRODUCTS_H_
