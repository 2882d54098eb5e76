// Attention by AVX512-BF16's dot product of bf16 pairs. Only in x86-64's build.
#include <immintrin.h>

#include <algorithm>

#include "engine/backend/cpu/attention_kernels.h"
#include "engine/backend/cpu/attention_tile.h"
#include "engine/backend/cpu/bf16_dot.h"
#include "hwy/base.h"

namespace tlin {
namespace {

constexpr int32_t kLanes = 16;
static_assert(kLanes == kKvRowGroup);

constexpr int32_t kValueVectors = 4;

TLIN_AVX512_BF16 inline __m512bh Pair(uint32_t word) {
  return reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(word)));
}

// logits[row][key] of kRows queries and kVectors groups of keys, `key` on.
template <int32_t kRows, int32_t kVectors>
TLIN_AVX512_BF16 void MultiplyKeys(const AttentionTask& task,
                                   const std::byte* chunk,
                                   const uint32_t* const* q, int32_t key,
                                   float* logits) {
  __m512 sums[kRows][kVectors];
  HWY_UNROLL(16)
  for (int32_t r = 0; r < kRows; ++r) {
    HWY_UNROLL(16)
    for (int32_t v = 0; v < kVectors; ++v) sums[r][v] = _mm512_setzero_ps();
  }
  const int32_t pairs = task.head_size / 2;
  const std::byte* first = chunk + key / kLanes * task.group_bytes;
  for (int32_t pair = 0; pair < pairs; ++pair) {
    __m512bh keys[kVectors];
    HWY_UNROLL(16)
    for (int32_t v = 0; v < kVectors; ++v) {
      const auto* tile =
          reinterpret_cast<const uint32_t*>(first + v * task.group_bytes);
      keys[v] =
          reinterpret_cast<__m512bh>(_mm512_loadu_si512(tile + pair * kLanes));
    }
    HWY_UNROLL(16)
    for (int32_t r = 0; r < kRows; ++r) {
      const __m512bh x = Pair(q[r][pair]);
      HWY_UNROLL(16)
      for (int32_t v = 0; v < kVectors; ++v) {
        sums[r][v] = _mm512_dpbf16_ps(sums[r][v], keys[v], x);
      }
    }
  }
  HWY_UNROLL(16)
  for (int32_t r = 0; r < kRows; ++r) {
    HWY_UNROLL(16)
    for (int32_t v = 0; v < kVectors; ++v) {
      _mm512_storeu_ps(logits + r * kKeyChunk + key + v * kLanes, sums[r][v]);
    }
  }
}

// sums[row][element ...] += weights[row][key] * values[key][element ...] of
// `count` keys, for kVectors vectors of elements from `element` on.
//
// Loads with a mask would let few of them be under way, and one query waits for
// memory. So a last vector that is not full is loaded from where it ends with
// the row, which may be before the row but is in the block, and moved up.
template <int32_t kRows, int32_t kVectors>
TLIN_AVX512_BF16 void ValueTile(const AttentionTask& task,
                                const std::byte* chunk,
                                const uint32_t* const* weights, int32_t key,
                                int32_t count, int32_t element, float* sums) {
  const int32_t size = task.head_size;
  const int32_t missing = std::max(element + kVectors * kLanes - size, 0);
  const auto existing = static_cast<__mmask16>(0xFFFFu >> missing);
  const __m512i move_up = _mm512_add_epi32(
      _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
      _mm512_set1_epi32(missing));
  sums += element;
  __m512 totals[kRows][kVectors];
  HWY_UNROLL(16)
  for (int32_t r = 0; r < kRows; ++r) {
    HWY_UNROLL(16)
    for (int32_t v = 0; v < kVectors; ++v) {
      totals[r][v] = _mm512_loadu_ps(sums + r * PaddedHead(size) + v * kLanes);
    }
  }
  // Adds a pair of keys; `bits` of its words count.
  const auto add = [&](const uint32_t* at, int32_t pair, __m512i bits)
      TLIN_AVX512_BF16 __attribute__((always_inline)) {
    __m512i x[kVectors];
    HWY_UNROLL(16)
    for (int32_t v = 0; v + 1 < kVectors; ++v) {
      x[v] = _mm512_loadu_si512(at + v * kLanes);
    }
    x[kVectors - 1] = _mm512_maskz_permutexvar_epi32(
        existing, move_up,
        _mm512_loadu_si512(at + (kVectors - 1) * kLanes - missing));
    HWY_UNROLL(16)
    for (int32_t r = 0; r < kRows; ++r) {
      const __m512bh weight = Pair(weights[r][pair]);
      HWY_UNROLL(16)
      for (int32_t v = 0; v < kVectors; ++v) {
        totals[r][v] = _mm512_dpbf16_ps(
            totals[r][v],
            reinterpret_cast<__m512bh>(_mm512_and_si512(x[v], bits)), weight);
      }
    }
  };
  const int32_t end = key + count;
  for (; key < end; key += kLanes) {
    const auto* at = reinterpret_cast<const uint32_t*>(
                         chunk + key / kLanes * task.group_bytes) +
                     element;
    const int32_t left = std::min(kLanes, end - key);
    for (int32_t pair = 0; pair < left / 2; ++pair, at += size) {
      add(at, key / 2 + pair, _mm512_set1_epi32(-1));
    }
    // The upper half of these words may be no number.
    if (left % 2 != 0) add(at, (end - 1) / 2, _mm512_set1_epi32(0xFFFF));
  }
  HWY_UNROLL(16)
  for (int32_t r = 0; r < kRows; ++r) {
    HWY_UNROLL(16)
    for (int32_t v = 0; v < kVectors; ++v) {
      _mm512_storeu_ps(sums + r * PaddedHead(size) + v * kLanes, totals[r][v]);
    }
  }
}

// See attention_tile.h.
struct Kernel {
  using Word = uint32_t;  // two inputs
  static constexpr int32_t kQueryTile = 6;
  static constexpr int32_t kKeysOfVector = kLanes;

  static const uint32_t* Prepare(const AttentionTask& task, const float* x,
                                 int32_t n, uint32_t* buffer) {
    task.prepare(x, n, buffer);
    return buffer;
  }

  template <int32_t kRows, int32_t kVectors>
  static void LogitTile(const AttentionTask& task, const std::byte* keys,
                        const uint32_t* const* q, int32_t key, float* logits) {
    MultiplyKeys<kRows, kVectors>(task, keys, q, key, logits);
  }

  template <int32_t kRows>
  static void AddValues(const AttentionTask& task, const std::byte* values,
                        const uint32_t* const* weights, int32_t key,
                        int32_t count, float* sums) {
    for (int32_t element = 0; element < task.head_size;) {
      const int32_t vectors = std::min(
          (task.head_size - element + kLanes - 1) / kLanes, kValueVectors);
      const auto tile = vectors == 1   ? &ValueTile<kRows, 1>
                        : vectors == 2 ? &ValueTile<kRows, 2>
                        : vectors == 3 ? &ValueTile<kRows, 3>
                                       : &ValueTile<kRows, kValueVectors>;
      tile(task, values, weights, key, count, element, sums);
      element += vectors * kLanes;
    }
  }
};

}  // namespace

const AttentionKernels& AttentionBf16Dot() {
  static constexpr AttentionKernels kKernels = {&AttendQueries<Kernel>,
                                                &AttendHeads<Kernel>};
  return kKernels;
}

}  // namespace tlin
