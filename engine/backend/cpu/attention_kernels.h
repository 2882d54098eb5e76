// The inner loops of attention: some queries of one head, or one query's heads,
// against one chunk of keys, by an online softmax whose unit is the chunk.
//
// For a query and a chunk: logits are sums over the head's elements in a fixed
// order; the chunk's maximum, sum and weighted values are computed from
// nothing, then merged into what was there. So neither the other queries, nor
// which thread takes which chunk, changes a bit of the result, as long as
// chunks are merged in order, and values are finite: a key that a query does
// not see may be in its sums, with weight 0.
#ifndef TLIN_ENGINE_BACKEND_CPU_ATTENTION_KERNELS_H_
#define TLIN_ENGINE_BACKEND_CPU_ATTENTION_KERNELS_H_

#include <cstddef>
#include <cstdint>

#include "engine/backend/cpu/gemm_kernels.h"

namespace tlin {

// Keys of a chunk. A block is cut at multiples of it.
inline constexpr int32_t kKeyChunk = 256;
// Queries that are in registers together, at most.
inline constexpr int32_t kMaxQueryTile = 6;
// Heads of one query that are read together, at most: their logits and weights
// fit the first-level cache.
inline constexpr int32_t kMaxHeads = 16;

// The online softmax of some rows: queries of one head, or heads of one query.
// Values are not normalised:
// the result is values / sum.
struct SoftmaxState {
  float* maximum = nullptr;  // [rows], of q * k, unscaled; -inf: no key yet
  float* sum = nullptr;      // [rows]
  float* values = nullptr;   // [rows, head_size]
};

struct AttentionTask {
  const float* q = nullptr;  // of the first row: head_size floats
  int64_t q_stride = 0;      // floats, from row to row
  int32_t rows = 0;
  int32_t head_size = 0;
  float scale = 0;                    // 1 / sqrt(head_size)
  const std::byte* keys = nullptr;    // of the chunk and the first row's head,
  const std::byte* values = nullptr;  // as kv_layout.h has them
  int64_t tile_bytes = 0;             // from a tile to the next head's
  int64_t group_bytes = 0;            // from a tile to the head's next one
  int32_t key_count = 0;              // at most kKeyChunk
  // Query i sees the first min(key_count, first_sees + i * sees_step) keys.
  int32_t first_sees = 0;
  int32_t sees_step = 0;     // 0 or 1 (causal)
  SoftmaxState state;        // the chunk is merged into it
  float* scratch = nullptr;  // AttentionScratch(head_size) floats
  // Of the GemmKernels that the attention belongs to.
  void (*prepare)(const float* x, int64_t cols, uint32_t* row) = nullptr;
};

// A head's elements in scratch memory: whole vectors.
constexpr int32_t PaddedHead(int32_t head_size) {
  return (head_size + 15) / 16 * 16;
}

// f32 [rows][kKeyChunk] weights and [rows][PaddedHead] sums of kMaxQueryTile
// queries or kMaxHeads heads, then the queries and the weights as a product
// reads them.
constexpr int64_t AttentionScratch(int32_t head_size) {
  static_assert(kMaxQueryTile <= kMaxHeads);
  return int64_t{2} * kMaxHeads * (kKeyChunk + PaddedHead(head_size));
}

// For each query and key: 4 * head_size FLOP and one exponential; in full tiles
// the loads of keys and values are shared by 6 queries (3 with AVX2).
using AttendFunction = void (*)(const AttentionTask& task);

struct AttentionKernels {
  // Rows are queries of one head.
  AttendFunction queries = nullptr;
  // Rows are neighbouring heads of one query, at most kMaxHeads; each head's
  // tiles follow those of the one before, and first_sees holds for all. Keys
  // and values are read in the order of memory: one query waits for it.
  AttendFunction heads = nullptr;
};

// f32 caches.
const AttentionKernels& AttentionF32();

// bf16 caches; queries and weights are rounded to bf16, products are in f32.
// Runs everywhere: keys and values are widened in registers.
const AttentionKernels& AttentionBf16();

// The same by AVX512-BF16's dot product instruction, to the same bits as long
// as nothing is subnormal. REQUIRES: GemmBf16Dot() is not null.
const AttentionKernels& AttentionBf16Dot();

// The one of the number format and the instructions of `gemm`.
const AttentionKernels& AttentionFor(const GemmKernels& gemm);

// Turns the first `keys` logits of a row into weights exp(scale * (logit -
// maximum)), and those up to `end`, a multiple of 16, into zeros.
void WeighLogits(int32_t keys, int32_t end, float scale, float* row,
                 float* maximum, float* sum);

// Merges a row's softmax over later keys into row `row` of state.
void MergeRow(float maximum, float sum, const float* values, int32_t head_size,
              float scale, int32_t row, const SoftmaxState& state);

// state = state and `later` together.
void MergeState(const SoftmaxState& later, int32_t rows, int32_t head_size,
                float scale, const SoftmaxState& state);

void ClearState(int32_t rows, int32_t head_size, const SoftmaxState& state);

}  // namespace tlin

#endif  // TLIN_ENGINE_BACKEND_CPU_ATTENTION_KERNELS_H_
