// The inner loops of attention: some queries of one head against one chunk of
// its keys, by an online softmax whose unit is the chunk.
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

// The online softmax of some queries of one head. Values are not normalised:
// the result is values / sum.
struct SoftmaxState {
  float* maximum = nullptr;  // [rows], of q * k, unscaled; -inf: no key yet
  float* sum = nullptr;      // [rows]
  float* values = nullptr;   // [rows, head_size]
};

struct AttentionTask {
  const float* q = nullptr;  // the head's part of the first query
  int64_t q_stride = 0;      // floats
  int32_t rows = 0;
  int32_t head_size = 0;
  float scale = 0;                    // 1 / sqrt(head_size)
  const std::byte* keys = nullptr;    // of the chunk, as kv_layout.h has …
  const std::byte* values = nullptr;  // … them
  int64_t next_head = 0;              // bytes to what is read next, or 0
  int32_t key_count = 0;              // at most kKeyChunk
  // Query i sees the first min(key_count, first_sees + i * sees_step) keys.
  int32_t first_sees = 0;
  int32_t sees_step = 0;     // 0 or 1 (causal)
  SoftmaxState state;        // the chunk is merged into it
  float* scratch = nullptr;  // AttentionScratch(head_size) floats
  // Of the GemmKernels that the attention belongs to.
  void (*prepare)(const float* x, int64_t cols, uint32_t* row) = nullptr;
};

// f32 [kMaxQueryTile][kKeyChunk] weights and [kMaxQueryTile][head_size] values,
// then the queries and the weights as a product reads them.
constexpr int64_t AttentionScratch(int32_t head_size) {
  return int64_t{2} * kMaxQueryTile * (kKeyChunk + head_size);
}

// For each query and key: 4 * head_size FLOP and one exponential; in full tiles
// the loads of keys and values are shared by 6 queries (3 with AVX2).
using AttendFunction = void (*)(const AttentionTask& task);

// f32 caches.
void AttendF32(const AttentionTask& task);

// bf16 caches; queries and weights are rounded to bf16, products are in f32.
// Runs everywhere: keys and values are widened in registers.
void AttendBf16(const AttentionTask& task);

// The same by AVX512-BF16's dot product instruction, to the same bits as long
// as nothing is subnormal. REQUIRES: GemmBf16Dot() is not null.
void AttendBf16Dot(const AttentionTask& task);

// The one of the number format and the instructions of `gemm`.
AttendFunction AttendAs(const GemmKernels& gemm);

// Turns the first `keys` logits of a row into weights exp(scale * (logit -
// maximum)), and those up to `end`, a multiple of 16, into zeros.
void WeighLogits(int32_t keys, int32_t end, float scale, float* row,
                 float* maximum, float* sum);

// Merges one query's softmax over later keys into row `row` of state.
void MergeRow(float maximum, float sum, const float* values, int32_t head_size,
              float scale, int32_t row, const SoftmaxState& state);

// state = state and `later` together.
void MergeState(const SoftmaxState& later, int32_t rows, int32_t head_size,
                float scale, const SoftmaxState& state);

void ClearState(int32_t rows, int32_t head_size, const SoftmaxState& state);

}  // namespace tlin

#endif  // TLIN_ENGINE_BACKEND_CPU_ATTENTION_KERNELS_H_
