// The inner loops of attention: some queries of one head against one chunk of
// its keys, by an online softmax whose unit is the chunk.
//
// For a query and a chunk: logits are sums over the head's elements in order;
// the chunk's maximum, sum and weighted values are computed from nothing, then
// merged into what was there. So neither the other queries, nor which thread
// takes which chunk, changes a bit of the result, as long as chunks are merged
// in order.
#ifndef TLIN_ENGINE_BACKEND_CPU_ATTENTION_KERNELS_H_
#define TLIN_ENGINE_BACKEND_CPU_ATTENTION_KERNELS_H_

#include <cstddef>
#include <cstdint>

#include "engine/backend/dtype.h"

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
  float scale = 0;                  // 1 / sqrt(head_size)
  const std::byte* keys = nullptr;  // of the chunk: [groups][head_size][16] …
  const std::byte* values = nullptr;  // … and [key_count][head_size]: kv_layout
  int32_t key_count = 0;              // at most kKeyChunk
  // Query i sees the first min(key_count, first_sees + i * sees_step) keys.
  int32_t first_sees = 0;
  int32_t sees_step = 0;     // 0 or 1 (causal)
  SoftmaxState state;        // the chunk is merged into it
  float* scratch = nullptr;  // AttentionScratch(head_size) floats
};

// f32 [kMaxQueryTile][kKeyChunk] weights, then [kMaxQueryTile][head_size]
// values.
constexpr int64_t AttentionScratch(int32_t head_size) {
  return int64_t{kMaxQueryTile} * (kKeyChunk + head_size);
}

// For each query and key: 4 * head_size FLOP and one exponential; in full tiles
// the loads of keys and values are shared by 6 queries. In bf16 keys and values
// are widened in registers.
void AttendChunk(DType dtype, const AttentionTask& task);

// bf16 keys and values of a chunk as the f32 layout has them, for many queries
// to share: keys f32 [groups of 16][head_size][16], values f32
// [key_count][head_size]. AttendChunk gives the same bits from either form.
void WidenChunk(const std::byte* keys, const std::byte* values,
                int32_t key_count, int32_t head_size, float* wide_keys,
                float* wide_values);

// state = state and `later` together.
void MergeState(const SoftmaxState& later, int32_t rows, int32_t head_size,
                float scale, const SoftmaxState& state);

void ClearState(int32_t rows, int32_t head_size, const SoftmaxState& state);

}  // namespace tlin

#endif  // TLIN_ENGINE_BACKEND_CPU_ATTENTION_KERNELS_H_
