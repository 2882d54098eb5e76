// Attention's kernels. A query's partial is, head by head, its scores'
// maximum (in powers of two), the sum of the weights and the weighted values:
// f32 [n_head, 2 + head_size]. A block's partial is merged into what came
// before it, block by block, in every one of these: how the work is cut does
// not show in the bits.
#ifndef TLIN_ENGINE_BACKEND_CUDA_ATTENTION_OPS_H_
#define TLIN_ENGINE_BACKEND_CUDA_ATTENTION_OPS_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "engine/backend/cuda/kernels.h"
#include "engine/backend/dtype.h"
#include "engine/backend/kv_block.h"

namespace tlin::cuda {

// The widest head that the kernels are made for.
inline constexpr int32_t kMaxHeadSize = 256;

// Queries of one sequence that a thread block takes.
constexpr int32_t TileRows(DType dtype) {
  return dtype == DType::kBF16 ? 16 : 4;
}

constexpr int64_t PartialFloats(const HeadShape& shape) {
  return int64_t{shape.n_head} * (2 + shape.head_size);
}

struct AttendBlock {
  KvBlock block;
  int32_t keys_before = 0;  // in the window's blocks before it
};

// A sequence's part of a step, as WindowPart, for the device.
struct AttendPart {
  int32_t first_row = 0;
  int32_t rows = 0;
  int32_t window_offset = 0;
  const AttendBlock* blocks = nullptr;  // the window's, then the history's
  int32_t window_end = 0;
  int32_t history_end = 0;
  float* carry = nullptr;  // a ring of partials
  int32_t ring_rows = 0;
  int32_t first_query = 0;
  int32_t carried_blocks = 0;
  // Of its blocks' partials, one for each row and block, when they are made
  // beside each other.
  int32_t scratch_begin = 0;
};

// Some queries of a part.
struct AttendTile {
  int32_t part = 0;
  int32_t first = 0;  // of the part's rows
  int32_t rows = 0;   // TileRows at most; 0: there is nothing to do
};

struct AttendArrays {
  const AttendPart* parts = nullptr;
  const AttendTile* tiles = nullptr;
  int32_t tile_count = 0;
};

// The kernels of one dtype, by their launchers. All enqueue on `stream` and
// return what the launch said; pointers are device memory.
struct AttentionOps {
  // Allows the kernels the shared memory that they need. Once, before the
  // others. REQUIRES: heads of kMaxHeadSize at most.
  cudaError_t (*prepare)(const HeadShape& shape);
  // out = causal softmax over the window + softmax over the history.
  cudaError_t (*window)(const HeadShape& shape, const float* q,
                        const AttendArrays& arrays, float* out,
                        cudaStream_t stream);
  // The same in two kernels: every block's partial by itself, `splits` of them
  // at once for each tile, to `scratch`; then they are merged. For long
  // histories.
  cudaError_t (*window_split)(const HeadShape& shape, const float* q,
                              const AttendArrays& arrays, int32_t splits,
                              float* scratch, float* out, cudaStream_t stream);
  // Over all of one block: to `out`, f32 [rows, D], or into partials [rows].
  cudaError_t (*attend)(const HeadShape& shape, const float* q, int32_t rows,
                        const KvBlock& keys, float* out, cudaStream_t stream);
  cudaError_t (*accumulate)(const HeadShape& shape, const float* q,
                            int32_t rows, const KvBlock& keys, float* partials,
                            cudaStream_t stream);
};
const AttentionOps& AttentionOpsF32();
const AttentionOps& AttentionOpsBf16();

// --- partial_kernels.cu

cudaError_t LaunchResetPartials(const HeadShape& shape, int32_t rows,
                                float* partials, cudaStream_t stream);
// out = (or +=) the partials' weighted values over their sums.
cudaError_t LaunchFinishPartials(const HeadShape& shape, int32_t rows,
                                 const float* partials, bool add, float* out,
                                 cudaStream_t stream);
// Queries [first, first + rows) between a ring and `partials`, row 0 being
// query `first`.
cudaError_t LaunchMoveRing(const HeadShape& shape, float* ring,
                           int32_t ring_rows, int32_t first, int32_t rows,
                           float* partials, bool to_ring, cudaStream_t stream);

}  // namespace tlin::cuda

#endif  // TLIN_ENGINE_BACKEND_CUDA_ATTENTION_OPS_H_
