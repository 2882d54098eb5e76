// Per-target part of attention_kernels: logits and weighted values of a tile of
// queries, with their sums in registers.
#include "engine/backend/cpu/attention_tile.h"
#include "hwy/highway.h"

// Per-target include guard.
#if defined(TLIN_ENGINE_BACKEND_CPU_ATTENTION_TILE_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifndef TLIN_ENGINE_BACKEND_CPU_ATTENTION_TILE_INL_H_
#define TLIN_ENGINE_BACKEND_CPU_ATTENTION_TILE_INL_H_
#else
#undef TLIN_ENGINE_BACKEND_CPU_ATTENTION_TILE_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace tlin {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F32Tag = hn::CappedTag<float, 16>;
using F32Vector = hn::Vec<F32Tag>;
inline constexpr int32_t kLanes = hn::MaxLanes(F32Tag());
inline constexpr int32_t kGroup = kKvRowGroup;

// AVX2 has 16 vector registers, AVX-512 and NEON 32. Few queries need many
// vectors or segments: a sum waits for its last addition.
inline constexpr bool kManyRegisters = HWY_TARGET != HWY_AVX2;
inline constexpr int32_t kValueVectors = 4;
constexpr int32_t Segments(int32_t rows) {
  return rows == 1 || (rows == 2 && kManyRegisters) ? 2 : 1;
}

// How a format's keys and values become f32 vectors.
struct F32Cache {
  using Element = float;
  static constexpr int32_t kFirst = 0;  // of a pair, which is added first

  static const float* Prepare(const AttentionTask&, const float* x, int32_t,
                              uint32_t*) {
    return x;
  }
  // One element of kLanes keys of a group.
  static HWY_INLINE F32Vector Keys(const float* group, int32_t element,
                                   int32_t lane) {
    return hn::LoadU(F32Tag(), group + element * kGroup + lane);
  }
  // Elements of one key's value, from `element` on.
  template <class D>
  static HWY_INLINE hn::Vec<D> Values(D d, const float* values, int32_t size,
                                      int32_t key, int32_t element) {
    return hn::LoadU(d, values + int64_t{key} * size + element);
  }
};

struct Bf16Cache {
  using Element = uint16_t;
  static constexpr int32_t kFirst = 1;  // as the dot product instruction does

  static const float* Prepare(const AttentionTask& task, const float* x,
                              int32_t n, uint32_t* buffer) {
    task.prepare(x, n, buffer);
    return reinterpret_cast<const float*>(buffer);
  }
  template <class D>
  static HWY_INLINE hn::Vec<D> Half(D d, const uint16_t* pairs, int64_t pair,
                                    int32_t which) {
    const hn::RebindToUnsigned<D> du;
    const auto bits =
        hn::LoadU(du, reinterpret_cast<const uint32_t*>(pairs) + pair);
    return hn::BitCast(d, which == 0 ? hn::ShiftLeft<16>(bits)
                                     : hn::And(bits, hn::Set(du, 0xFFFF0000u)));
  }
  static HWY_INLINE F32Vector Keys(const uint16_t* group, int32_t element,
                                   int32_t lane) {
    return Half(F32Tag(), group, element / 2 * kGroup + lane, element % 2);
  }
  template <class D>
  static HWY_INLINE hn::Vec<D> Values(D d, const uint16_t* values, int32_t size,
                                      int32_t key, int32_t element) {
    return Half(d, values, int64_t{key / 2} * size + element, key % 2);
  }
};

// logits[row][key] of kRows queries and kVectors vectors of keys, `key` on.
template <class Cache, int32_t kRows, int32_t kVectors>
HWY_NOINLINE void MultiplyKeys(const AttentionTask& task, const float* const* q,
                               int32_t key, float* logits) {
  using Element = typename Cache::Element;
  const F32Tag d;
  F32Vector sums[kRows][kVectors];
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t v = 0; v < kVectors; ++v) sums[r][v] = hn::Zero(d);
  }
  const int64_t group_size = int64_t{task.head_size} * kGroup;
  const auto* first =
      reinterpret_cast<const Element*>(task.keys) + key / kGroup * group_size;
  const int32_t lane = key % kGroup;
  for (int32_t pair = 0; pair < task.head_size; pair += 2) {
    for (int32_t half = 0; half < 2; ++half) {
      const int32_t element = pair + (half ^ Cache::kFirst);
      F32Vector keys[kVectors];
      for (int32_t v = 0; v < kVectors; ++v) {
        const int32_t at = lane + v * kLanes;
        keys[v] =
            Cache::Keys(first + at / kGroup * group_size, element, at % kGroup);
      }
      for (int32_t r = 0; r < kRows; ++r) {
        const F32Vector x = hn::Set(d, q[r][element]);
        for (int32_t v = 0; v < kVectors; ++v) {
          sums[r][v] = hn::MulAdd(x, keys[v], sums[r][v]);
        }
      }
    }
  }
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t v = 0; v < kVectors; ++v) {
      hn::StoreU(sums[r][v], d, logits + r * kKeyChunk + key + v * kLanes);
    }
  }
}

// sums[row][vector] += weights[row][key] * V[key][element ...].
template <class Cache, int32_t kRows, int32_t kVectors, class D>
HWY_INLINE void AddValues(D d, const AttentionTask& task,
                          const float* const* weights, int32_t key,
                          const int32_t* offsets,
                          hn::Vec<D> (&sums)[kRows][kVectors]) {
  const auto* values =
      reinterpret_cast<const typename Cache::Element*>(task.values);
  hn::Vec<D> x[kVectors];
  for (int32_t v = 0; v < kVectors; ++v) {
    x[v] = Cache::Values(d, values, task.head_size, key, offsets[v]);
  }
  for (int32_t r = 0; r < kRows; ++r) {
    const auto weight = hn::Set(d, weights[r][key]);
    for (int32_t v = 0; v < kVectors; ++v) {
      sums[r][v] = hn::MulAdd(weight, x[v], sums[r][v]);
    }
  }
}

// values[row][element ...] += the sums over kSegments segments of `keys` keys
// each, from key `first` on, for kVectors vectors of elements at `offsets`.
template <class Cache, int32_t kRows, int32_t kVectors, int32_t kSegments,
          class D>
HWY_INLINE void ValueTile(D d, const AttentionTask& task,
                          const float* const* weights, int32_t first,
                          int32_t keys, const int32_t* offsets, float* values) {
  hn::Vec<D> sums[kSegments][kRows][kVectors];
  for (int32_t s = 0; s < kSegments; ++s) {
    for (int32_t r = 0; r < kRows; ++r) {
      for (int32_t v = 0; v < kVectors; ++v) sums[s][r][v] = hn::Zero(d);
    }
  }
  for (int32_t pair = first; pair + 1 < first + keys; pair += 2) {
    for (int32_t half = 0; half < 2; ++half) {
      for (int32_t s = 0; s < kSegments; ++s) {
        AddValues<Cache, kRows, kVectors>(
            d, task, weights, pair + (half ^ Cache::kFirst) + s * kKeySegment,
            offsets, sums[s]);
      }
    }
  }
  if (keys % 2 != 0) {  // only one segment is ever not full
    AddValues<Cache, kRows, kVectors>(d, task, weights, first + keys - 1,
                                      offsets, sums[0]);
  }
  for (int32_t r = 0; r < kRows; ++r) {
    float* row = values + r * task.head_size;
    hn::Vec<D> total[kVectors];
    for (int32_t v = 0; v < kVectors; ++v) {
      total[v] = hn::LoadU(d, row + offsets[v]);
      for (int32_t s = 0; s < kSegments; ++s) {
        total[v] = hn::Add(total[v], sums[s][r][v]);
      }
    }
    for (int32_t v = 0; v < kVectors; ++v) {
      hn::StoreU(total[v], d, row + offsets[v]);
    }
  }
}

template <class Cache, int32_t kRows, int32_t kVectors, class D>
HWY_NOINLINE void AllSegments(D d, const AttentionTask& task,
                              const float* const* weights, int32_t keys,
                              const int32_t* offsets, float* values) {
  constexpr int32_t kTogether = Segments(kRows) * kKeySegment;
  int32_t key = 0;
  for (; key + kTogether <= keys; key += kTogether) {
    ValueTile<Cache, kRows, kVectors, Segments(kRows)>(
        d, task, weights, key, kKeySegment, offsets, values);
  }
  for (; key < keys; key += kKeySegment) {
    ValueTile<Cache, kRows, kVectors, 1>(d, task, weights, key,
                                         HWY_MIN(kKeySegment, keys - key),
                                         offsets, values);
  }
}

// See attention_tile.h.
template <class Cache>
struct Kernel {
  using Word = float;
  static constexpr int32_t kQueryTile = kManyRegisters ? 6 : 3;
  static constexpr int32_t kKeysOfVector = kLanes;
  static constexpr int32_t LogitVectors(int32_t rows) {
    return kManyRegisters && rows <= 2 ? 8 : 4;
  }

  static const float* Prepare(const AttentionTask& task, const float* x,
                              int32_t n, uint32_t* buffer) {
    return Cache::Prepare(task, x, n, buffer);
  }

  template <int32_t kRows, int32_t kVectors>
  static void LogitTile(const AttentionTask& task, const float* const* q,
                        int32_t key, float* logits) {
    MultiplyKeys<Cache, kRows, kVectors>(task, q, key, logits);
  }

  // Where the head is no multiple of a vector, the last vector starts early: it
  // computes some elements a second time, from the same start to the same bits,
  // so a row's loads come before its stores.
  template <int32_t kRows>
  static HWY_NOINLINE void Values(const AttentionTask& task,
                                  const float* const* weights, int32_t keys,
                                  float* values) {
    const F32Tag d;
    const int32_t size = task.head_size;
    std::fill(values, values + kRows * size, 0.0f);
    if (size < kLanes) {
      for (int32_t i = 0; i < size; ++i) {
        AllSegments<Cache, kRows, 1>(hn::CappedTag<float, 1>(), task, weights,
                                     keys, &i, values);
      }
      return;
    }
    const int32_t last = size - kLanes;
    for (int32_t first = 0; first < size;) {
      const int32_t left = (size - first + kLanes - 1) / kLanes;
      // Not 4 and then an overlapping 1: the overlap must be within one tile.
      const int32_t vectors = left == 5 ? 3 : HWY_MIN(left, kValueVectors);
      int32_t offsets[kValueVectors];
      for (int32_t v = 0; v < vectors; ++v) {
        offsets[v] = HWY_MIN(first + v * kLanes, last);
      }
      const auto tile = vectors == 1   ? &AllSegments<Cache, kRows, 1, F32Tag>
                        : vectors == 2 ? &AllSegments<Cache, kRows, 2, F32Tag>
                        : vectors == 3
                            ? &AllSegments<Cache, kRows, 3, F32Tag>
                            : &AllSegments<Cache, kRows, kValueVectors, F32Tag>;
      tile(d, task, weights, keys, offsets, values);
      first += vectors * kLanes;
    }
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace tlin
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
