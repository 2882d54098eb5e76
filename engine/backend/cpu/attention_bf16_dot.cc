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

// One query alone waits for memory: what it reads of this head is fetched of
// the next one to the second-level cache.
inline void PrefetchNextHead(const AttentionTask& task, const void* at) {
  __builtin_prefetch(static_cast<const std::byte*>(at) + task.next_head,
                     /*rw=*/0, /*locality=*/2);
}

// logits[row][key] of kRows queries and kVectors groups of keys, `key` on.
template <int32_t kRows, int32_t kVectors>
TLIN_AVX512_BF16 void MultiplyKeys(const AttentionTask& task,
                                   const uint32_t* const* q, int32_t key,
                                   float* logits) {
  __m512 sums[kRows][kVectors];
  HWY_UNROLL(16)
  for (int32_t r = 0; r < kRows; ++r) {
    HWY_UNROLL(16)
    for (int32_t v = 0; v < kVectors; ++v) sums[r][v] = _mm512_setzero_ps();
  }
  const int32_t pairs = task.head_size / 2;
  const auto* first =
      reinterpret_cast<const uint32_t*>(task.keys) + int64_t{key} * pairs;
  for (int32_t pair = 0; pair < pairs; ++pair) {
    __m512bh keys[kVectors];
    HWY_UNROLL(16)
    for (int32_t v = 0; v < kVectors; ++v) {
      const uint32_t* at = first + (v * pairs + pair) * kLanes;
      keys[v] = reinterpret_cast<__m512bh>(_mm512_loadu_si512(at));
      if constexpr (kRows == 1) PrefetchNextHead(task, at);
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

// values[row][element ...] += the sums over kSegments segments of `keys` keys
// each, from key `first` on, for kVectors vectors of elements from `element`
// on. Where keys is odd kSegments is 1.
template <int32_t kRows, int32_t kVectors, int32_t kSegments>
TLIN_AVX512_BF16 inline void AddSegments(const AttentionTask& task,
                                         const uint32_t* const* weights,
                                         int32_t first, int32_t keys,
                                         int32_t element, float* values) {
  __m512 sums[kSegments * kRows][kVectors];
  HWY_UNROLL(16)
  for (int32_t i = 0; i < kSegments * kRows; ++i) {
    HWY_UNROLL(16)
    for (int32_t v = 0; v < kVectors; ++v) sums[i][v] = _mm512_setzero_ps();
  }
  const int32_t size = task.head_size;
  const int32_t last = size - element - (kVectors - 1) * kLanes;  // elements
  const __mmask32 last_halves = 0xFFFFFFFFu >> (32 - 2 * std::min(last, 16));
  const int32_t first_pair = first / 2;
  const int32_t pairs = (keys + 1) / 2;
  const auto* at = reinterpret_cast<const uint32_t*>(task.values) +
                   int64_t{first_pair} * size + element;
  for (int32_t pair = 0; pair < pairs; ++pair, at += size) {
    // Where keys is odd, the upper half of the last words may be no number.
    const int32_t beyond = (keys / 2 - 1 - pair) >> 31;  // all ones there
    const __mmask32 halves = 0x55555555u | ~static_cast<uint32_t>(beyond);
    HWY_UNROLL(16)
    for (int32_t s = 0; s < kSegments; ++s) {
      constexpr int32_t kSegmentPairs = kKeySegment / 2;
      __m512bh x[kVectors];
      HWY_UNROLL(16)
      for (int32_t v = 0; v < kVectors; ++v) {
        if constexpr (kRows == 1) {
          PrefetchNextHead(task, at + s * kSegmentPairs * size + v * kLanes);
        }
        x[v] = reinterpret_cast<__m512bh>(_mm512_maskz_loadu_epi16(
            v + 1 < kVectors ? halves : halves & last_halves,
            at + s * kSegmentPairs * size + v * kLanes));
      }
      HWY_UNROLL(16)
      for (int32_t r = 0; r < kRows; ++r) {
        const __m512bh weight =
            Pair(weights[r][first_pair + s * kSegmentPairs + pair]);
        HWY_UNROLL(16)
        for (int32_t v = 0; v < kVectors; ++v) {
          __m512& sum = sums[s * kRows + r][v];
          sum = _mm512_dpbf16_ps(sum, x[v], weight);
        }
      }
    }
  }
  HWY_UNROLL(16)
  for (int32_t r = 0; r < kRows; ++r) {
    HWY_UNROLL(16)
    for (int32_t v = 0; v < kVectors; ++v) {
      float* row = values + r * size + element + v * kLanes;
      const __mmask16 lanes =
          v + 1 < kVectors ? FirstLanes(kLanes) : FirstLanes(last);
      __m512 total = _mm512_maskz_loadu_ps(lanes, row);
      HWY_UNROLL(16)
      for (int32_t s = 0; s < kSegments; ++s) {
        total = _mm512_add_ps(total, sums[s * kRows + r][v]);
      }
      _mm512_mask_storeu_ps(row, lanes, total);
    }
  }
}

template <int32_t kRows, int32_t kVectors>
TLIN_AVX512_BF16 void ValueTile(const AttentionTask& task,
                                const uint32_t* const* weights, int32_t keys,
                                int32_t element, float* values) {
  constexpr int32_t kSegments = kRows <= 2 ? 2 : 1;
  int32_t key = 0;
  for (; key + kSegments * kKeySegment <= keys;
       key += kSegments * kKeySegment) {
    AddSegments<kRows, kVectors, kSegments>(task, weights, key, kKeySegment,
                                            element, values);
  }
  for (; key < keys; key += kKeySegment) {
    AddSegments<kRows, kVectors, 1>(
        task, weights, key, std::min(kKeySegment, keys - key), element, values);
  }
}

// See attention_tile.h.
struct Kernel {
  using Word = uint32_t;  // two inputs
  static constexpr int32_t kQueryTile = 6;
  static constexpr int32_t kKeysOfVector = kLanes;
  // Few queries need many vectors: a sum waits for its last addition.
  static constexpr int32_t LogitVectors(int32_t rows) {
    return rows <= 2 ? 8 : 4;
  }

  static const uint32_t* Prepare(const AttentionTask& task, const float* x,
                                 int32_t n, uint32_t* buffer) {
    task.prepare(x, n, buffer);
    return buffer;
  }

  template <int32_t kRows, int32_t kVectors>
  static void LogitTile(const AttentionTask& task, const uint32_t* const* q,
                        int32_t key, float* logits) {
    MultiplyKeys<kRows, kVectors>(task, q, key, logits);
  }

  template <int32_t kRows>
  static void Values(const AttentionTask& task, const uint32_t* const* weights,
                     int32_t keys, float* values) {
    std::fill(values, values + kRows * task.head_size, 0.0f);
    for (int32_t element = 0; element < task.head_size;) {
      const int32_t vectors = std::min(
          (task.head_size - element + kLanes - 1) / kLanes, kValueVectors);
      const auto tile = vectors == 1   ? &ValueTile<kRows, 1>
                        : vectors == 2 ? &ValueTile<kRows, 2>
                        : vectors == 3 ? &ValueTile<kRows, 3>
                                       : &ValueTile<kRows, kValueVectors>;
      tile(task, weights, keys, element, values);
      element += vectors * kLanes;
    }
  }
};

}  // namespace

void AttendBf16Dot(const AttentionTask& task) { AttendRows<Kernel>(task); }

}  // namespace tlin
