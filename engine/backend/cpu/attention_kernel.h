// Online-softmax attention of up to four queries of one head over one block of
// keys: the only attention arithmetic of the CPU backend.
//
// Keys of a block lie in groups of 16: [group][n_embd][16], so that a vector
// holds one component of 16 keys; values lie row by row: [row][n_embd]. Keys
// are taken in chunks of 256, in order, each merged into the running maximum
// and sum, so that results do not depend on how the work is shared out.
//
// FLOPs: 4 * head_size a query and key; bytes: the block's keys and values of
// the head once for each four queries.
#ifndef TLIN_ENGINE_BACKEND_CPU_ATTENTION_KERNEL_H_
#define TLIN_ENGINE_BACKEND_CPU_ATTENTION_KERNEL_H_

#include <cstdint>

#include "engine/backend/dtype.h"
#include "engine/backend/kv_block.h"

namespace tlin {

inline constexpr int32_t kMaxQueries = 4;
inline constexpr int32_t kKeyChunk = 256;

struct AttentionShape {
  int32_t n_embd = 0;
  int32_t n_head = 0;
  int32_t head_size = 0;
  DType dtype = DType::kF32;
};

// Running softmax of some queries of one head. `values` are not yet divided by
// `sum`.
struct AttentionState {
  float* maximum[kMaxQueries];
  float* sum[kMaxQueries];
  float* values[kMaxQueries];  // [head_size] each
};

// Adds the keys of `block` to `state`. Query i, already at q[i] + head *
// head_size, sees the first visible[i] keys.
// `scores` is scratch: [kMaxQueries * kKeyChunk].
// REQUIRES: 1 <= queries <= kMaxQueries.
void AttendBlock(const AttentionShape& shape, int32_t head, int32_t queries,
                 const float* const* q, const int32_t* visible,
                 const KvBlock& block, const AttentionState& state,
                 float* scores);

}  // namespace tlin

#endif  // TLIN_ENGINE_BACKEND_CPU_ATTENTION_KERNEL_H_
