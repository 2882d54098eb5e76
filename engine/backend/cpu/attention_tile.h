// A tile of rows against a chunk of keys, for any kernel: the order of the
// arithmetic that all kernels share.
//
// A kernel has a type Word and the numbers kQueryTile and kKeysOfVector, and
//   Prepare(task, x, n, buffer): n inputs of a product, as it reads them;
//   LogitTile<kRows, kVectors>(task, keys, q, key, logits): logits [kRows]
//       [kKeyChunk] of kVectors vectors of keys, from key `key` on; `keys` are
//       the chunk's first;
//   AddValues<kRows>(task, values, weights, key, count, sums): adds `count`
//       weighted values, from key `key` on, a multiple of 16, to sums [kRows]
//       [PaddedHead], one key after the other (bf16: of each pair the odd one
//       first); `values` are the chunk's first.
#ifndef TLIN_ENGINE_BACKEND_CPU_ATTENTION_TILE_H_
#define TLIN_ENGINE_BACKEND_CPU_ATTENTION_TILE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "engine/backend/cpu/attention_kernels.h"
#include "engine/backend/kv_block.h"

namespace tlin {

// AttentionTask::scratch for kRows rows.
template <class Kernel, int32_t kRows>
struct TileScratch {
  explicit TileScratch(const AttentionTask& task)
      : weights(task.scratch),
        sums(weights + kRows * kKeyChunk),
        prepared(reinterpret_cast<uint32_t*>(
            sums + kRows * PaddedHead(task.head_size))),
        prepared_weights(prepared + kRows * PaddedHead(task.head_size)) {}

  float* weights;              // [kRows][kKeyChunk], logits at first
  float* sums;                 // [kRows][PaddedHead]
  uint32_t* prepared;          // [kRows][PaddedHead], queries
  uint32_t* prepared_weights;  // [kRows][kKeyChunk]
  const typename Kernel::Word* inputs[kRows];
};

// scratch->inputs are rows [first, first + rows) of the queries.
template <class Kernel, int32_t kRows>
void PrepareQueries(const AttentionTask& task, int32_t first, int32_t rows,
                    TileScratch<Kernel, kRows>* scratch) {
  const int32_t size = task.head_size;
  for (int32_t r = 0; r < rows; ++r) {
    scratch->inputs[r] =
        Kernel::Prepare(task, task.q + (first + r) * task.q_stride, size,
                        scratch->prepared + r * PaddedHead(size));
  }
}

// The softmax of one row over its first `sees` keys. Its weights become the
// row's input, zeros up to key `end`.
template <class Kernel, int32_t kRows>
void WeighRow(const AttentionTask& task, int32_t row, int32_t sees, int32_t end,
              TileScratch<Kernel, kRows>* scratch, float* maximum, float* sum) {
  float* weights = scratch->weights + row * kKeyChunk;
  WeighLogits(sees, end, task.scale, weights, maximum, sum);
  scratch->inputs[row] = Kernel::Prepare(
      task, weights, end, scratch->prepared_weights + row * kKeyChunk);
}

// logits [kRows][kKeyChunk] of keys [0, end).
template <class Kernel, int32_t kRows>
void ComputeLogits(const AttentionTask& task,
                   const typename Kernel::Word* const* q, int32_t end,
                   float* logits) {
  constexpr int32_t kVectors = 4;
  constexpr int32_t kTile = kVectors * Kernel::kKeysOfVector;
  int32_t key = 0;
  for (; key + kTile <= end; key += kTile) {
    Kernel::template LogitTile<kRows, kVectors>(task, task.keys, q, key,
                                                logits);
  }
  for (; key < end; key += Kernel::kKeysOfVector) {
    Kernel::template LogitTile<kRows, 1>(task, task.keys, q, key, logits);
  }
}

// Queries [first, first + kRows) of one head.
template <class Kernel, int32_t kRows>
void AttendQueryTile(const AttentionTask& task, int32_t first) {
  int32_t sees[kRows];
  for (int32_t r = 0; r < kRows; ++r) {
    sees[r] = std::clamp(task.first_sees + (first + r) * task.sees_step, 0,
                         task.key_count);
  }
  // Keys that some of the queries do not see weigh nothing with these.
  const int32_t keys = sees[kRows - 1];
  if (keys == 0) return;
  const int32_t size = task.head_size;
  const auto end = static_cast<int32_t>(KvBlockRows(keys));
  TileScratch<Kernel, kRows> scratch(task);
  PrepareQueries(task, first, kRows, &scratch);
  ComputeLogits<Kernel, kRows>(task, scratch.inputs, end, scratch.weights);
  float maxima[kRows];
  float sums[kRows];
  for (int32_t r = 0; r < kRows; ++r) {
    WeighRow(task, r, sees[r], end, &scratch, &maxima[r], &sums[r]);
  }
  std::fill_n(scratch.sums, kRows * PaddedHead(size), 0.0f);
  Kernel::template AddValues<kRows>(task, task.values, scratch.inputs, 0, keys,
                                    scratch.sums);
  for (int32_t r = 0; r < kRows; ++r) {
    if (sees[r] == 0) continue;
    MergeRow(maxima[r], sums[r], scratch.sums + r * PaddedHead(size), size,
             task.scale, first + r, task.state);
  }
}

// AttentionKernels::queries.
template <class Kernel>
void AttendQueries(const AttentionTask& task) {
  constexpr int32_t kTile = Kernel::kQueryTile;
  int32_t row = 0;
  for (; row + kTile <= task.rows; row += kTile) {
    AttendQueryTile<Kernel, kTile>(task, row);
  }
  for (; row + 2 <= task.rows; row += 2) AttendQueryTile<Kernel, 2>(task, row);
  if (row < task.rows) AttendQueryTile<Kernel, 1>(task, row);
}

// To the second-level cache.
inline void PrefetchBytes(const std::byte* from, int64_t bytes) {
  for (int64_t at = 0; at < bytes; at += 64) {
    __builtin_prefetch(from + at, /*rw=*/0, /*locality=*/2);
  }
}

// AttentionKernels::heads.
template <class Kernel>
void AttendHeads(const AttentionTask& task) {
  const int32_t heads = task.rows;
  const int32_t keys = std::clamp(task.first_sees, 0, task.key_count);
  if (keys == 0) return;
  const int32_t size = task.head_size;
  constexpr auto kGroup = static_cast<int32_t>(kKvRowGroup);
  constexpr int32_t kVectors = kGroup / Kernel::kKeysOfVector;
  const auto end = static_cast<int32_t>(KvBlockRows(keys));
  const int64_t tile_bytes = task.tile_bytes;
  TileScratch<Kernel, kMaxHeads> scratch(task);
  PrepareQueries(task, 0, heads, &scratch);
  for (int32_t key = 0; key < end; key += kGroup) {
    for (int32_t h = 0; h < heads; ++h) {
      Kernel::template LogitTile<1, kVectors>(task, task.keys + h * tile_bytes,
                                              &scratch.inputs[h], key,
                                              scratch.weights + h * kKeyChunk);
    }
  }
  // While the softmax computes, memory has nothing to do.
  PrefetchBytes(task.values, heads * tile_bytes);
  float maxima[kMaxHeads];
  float sums[kMaxHeads];
  for (int32_t h = 0; h < heads; ++h) {
    WeighRow(task, h, keys, end, &scratch, &maxima[h], &sums[h]);
  }
  std::fill_n(scratch.sums, heads * PaddedHead(size), 0.0f);
  for (int32_t key = 0; key < keys; key += kGroup) {
    const std::byte* next = task.values + (key / kGroup + 1) * task.group_bytes;
    for (int32_t h = 0; h < heads; ++h) {
      if (key + kGroup < keys) PrefetchBytes(next + h * tile_bytes, tile_bytes);
      Kernel::template AddValues<1>(
          task, task.values + h * tile_bytes, &scratch.inputs[h], key,
          std::min(kGroup, keys - key), scratch.sums + h * PaddedHead(size));
    }
  }
  for (int32_t h = 0; h < heads; ++h) {
    MergeRow(maxima[h], sums[h], scratch.sums + h * PaddedHead(size), size,
             task.scale, h, task.state);
  }
}

}  // namespace tlin

#endif  // TLIN_ENGINE_BACKEND_CPU_ATTENTION_TILE_H_
