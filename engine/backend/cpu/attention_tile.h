// A tile of queries against a chunk of keys, for any kernel: the order of the
// arithmetic that all kernels share.
//
// A kernel has a type Word, the numbers kQueryTile, kKeysOfVector and
// LogitVectors(rows), and
//   Prepare(task, x, n, buffer): n inputs of a product, as it reads them;
//   LogitTile<kRows, kVectors>(task, q, key, logits): logits [kRows][kKeyChunk]
//       of kVectors vectors of keys, from key `key` on;
//   Values<kRows>(task, weights, keys, values): values [kRows][head_size], each
//       the sum over the first `keys` keys. Keys of a segment are added in a
//       fixed order (bf16: of each pair the odd one first), then the segments:
//       few queries can have several under way.
#ifndef TLIN_ENGINE_BACKEND_CPU_ATTENTION_TILE_H_
#define TLIN_ENGINE_BACKEND_CPU_ATTENTION_TILE_H_

#include <algorithm>
#include <cstdint>

#include "engine/backend/cpu/attention_kernels.h"
#include "engine/backend/kv_block.h"

namespace tlin {

inline constexpr int32_t kKeySegment = 128;  // even

// logits [kRows][kKeyChunk] of the first `keys` keys, up to a whole group.
template <class Kernel, int32_t kRows>
void ComputeLogits(const AttentionTask& task,
                   const typename Kernel::Word* const* q, int32_t keys,
                   float* logits) {
  constexpr int32_t kVectors = Kernel::LogitVectors(kRows);
  constexpr int32_t kTile = kVectors * Kernel::kKeysOfVector;
  const int32_t end = static_cast<int32_t>(KvBlockRows(keys));
  int32_t key = 0;
  for (; key + kTile <= end; key += kTile) {
    Kernel::template LogitTile<kRows, kVectors>(task, q, key, logits);
  }
  for (; key < end; key += Kernel::kKeysOfVector) {
    Kernel::template LogitTile<kRows, 1>(task, q, key, logits);
  }
}

// Queries [row, row + kRows).
template <class Kernel, int32_t kRows>
void AttendTile(const AttentionTask& task, int32_t row) {
  int32_t sees[kRows];
  for (int32_t r = 0; r < kRows; ++r) {
    sees[r] = std::clamp(task.first_sees + (row + r) * task.sees_step, 0,
                         task.key_count);
  }
  // Keys that some of the queries do not see weigh nothing with these.
  const int32_t keys = sees[kRows - 1];
  if (keys == 0) return;
  const int32_t size = task.head_size;
  const int32_t end = static_cast<int32_t>(KvBlockRows(keys));
  float* logits = task.scratch;
  float* values = logits + kMaxQueryTile * kKeyChunk;
  auto* prepared = reinterpret_cast<uint32_t*>(values + kMaxQueryTile * size);

  const typename Kernel::Word* inputs[kRows];
  for (int32_t r = 0; r < kRows; ++r) {
    inputs[r] = Kernel::Prepare(task, task.q + (row + r) * task.q_stride, size,
                                prepared + r * size);
  }
  ComputeLogits<Kernel, kRows>(task, inputs, keys, logits);
  prepared += kMaxQueryTile * size;
  float maxima[kRows];
  float sums[kRows];
  for (int32_t r = 0; r < kRows; ++r) {
    float* weights = logits + r * kKeyChunk;
    WeighLogits(sees[r], end, task.scale, weights, &maxima[r], &sums[r]);
    inputs[r] = Kernel::Prepare(task, weights, end, prepared + r * kKeyChunk);
  }
  Kernel::template Values<kRows>(task, inputs, keys, values);
  for (int32_t r = 0; r < kRows; ++r) {
    if (sees[r] == 0) continue;
    MergeRow(maxima[r], sums[r], values + r * size, size, task.scale, row + r,
             task.state);
  }
}

template <class Kernel>
void AttendRows(const AttentionTask& task) {
  int32_t row = 0;
  for (; row + Kernel::kQueryTile <= task.rows; row += Kernel::kQueryTile) {
    AttendTile<Kernel, Kernel::kQueryTile>(task, row);
  }
  for (; row + 2 <= task.rows; row += 2) AttendTile<Kernel, 2>(task, row);
  if (row < task.rows) AttendTile<Kernel, 1>(task, row);
}

}  // namespace tlin

#endif  // TLIN_ENGINE_BACKEND_CPU_ATTENTION_TILE_H_
