// Launchers of the kernels. All enqueue on `stream` and return what the launch
// said; pointers are device memory. `dtype` is kF32 or kBF16.
//
// Prepared rows are the inputs of products: [rows, cols] of dtype, row after
// row, `stride` elements apart.
#ifndef TLIN_ENGINE_BACKEND_CUDA_KERNELS_H_
#define TLIN_ENGINE_BACKEND_CUDA_KERNELS_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "engine/backend/dtype.h"
#include "engine/backend/kv_block.h"

namespace tlin::cuda {

// --- row_kernels.cu

// x[i] = row ids[i] of the table, dtype [.., cols], rows `stride` apart.
cudaError_t LaunchGather(DType dtype, const void* table, int64_t stride,
                         const int32_t* ids, int rows, int cols, float* x,
                         cudaStream_t stream);
// LayerNorm of x[indices[i]] (of x[i] where `indices` is null) to prepared row
// i. `norm` is weight [cols], then bias [cols].
cudaError_t LaunchLayerNorm(DType dtype, const float* x, const int32_t* indices,
                            const float* norm, int rows, int cols,
                            void* prepared, int64_t stride,
                            cudaStream_t stream);
// x as it is, to prepared rows.
cudaError_t LaunchPrepare(DType dtype, const float* x, int rows, int cols,
                          void* prepared, int64_t stride, cudaStream_t stream);
// silu(gate) * up to prepared rows [rows, ffn]; gate_up is f32 [rows, 2 ffn].
cudaError_t LaunchSwiGlu(DType dtype, const float* gate_up, int rows, int ffn,
                         void* prepared, int64_t stride, cudaStream_t stream);

// --- rope_kernels.cu

struct HeadShape {
  int32_t n_head = 0;
  int32_t head_size = 0;  // even
  constexpr int64_t width() const { return int64_t{n_head} * head_size; }
};

// Rotates q and k of row i (f32 [3 D], q, k, v side by side) by its position.
// The row is qkv's row i, or row ids[i] where `ids` is not null. q goes to
// q[i] unless that is null; k and v to kv[i] unless kv or its place is null.
cudaError_t LaunchRotate(DType dtype, const HeadShape& shape, const float* qkv,
                         const int32_t* ids, const int32_t* positions, int rows,
                         const float* frequencies, float* q, const KvRow* kv,
                         cudaStream_t stream);
// Rows [first, first + rows) of a block to plain memory, keys [rows, D] and
// then values, and back.
cudaError_t LaunchReadKv(DType dtype, const HeadShape& shape,
                         const KvBlock& block, int first, int rows, void* plain,
                         cudaStream_t stream);
cudaError_t LaunchWriteKv(DType dtype, const HeadShape& shape,
                          const void* plain, int first, int rows,
                          const KvBlock& block, cudaStream_t stream);

}  // namespace tlin::cuda

#endif  // TLIN_ENGINE_BACKEND_CUDA_KERNELS_H_
