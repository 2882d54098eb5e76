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

// AVX2 has 16 vector registers, AVX-512 and NEON 32.
inline constexpr bool kManyRegisters = HWY_TARGET != HWY_AVX2;
inline constexpr int32_t kValueVectors = 4;

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
  // Elements of the value of one key of a group, from `element` on.
  template <class D>
  static HWY_INLINE hn::Vec<D> Values(D d, const float* group, int32_t size,
                                      int32_t key, int32_t element) {
    return hn::LoadU(d, group + key * size + element);
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
  static HWY_INLINE hn::Vec<D> Values(D d, const uint16_t* group, int32_t size,
                                      int32_t key, int32_t element) {
    return Half(d, group, key / 2 * size + element, key % 2);
  }
};

// logits[row][key] of kRows queries and kVectors vectors of keys, `key` on.
template <class Cache, int32_t kRows, int32_t kVectors>
HWY_NOINLINE void MultiplyKeys(const AttentionTask& task,
                               const std::byte* chunk, const float* const* q,
                               int32_t key, float* logits) {
  using Element = typename Cache::Element;
  const F32Tag d;
  F32Vector sums[kRows][kVectors];
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t v = 0; v < kVectors; ++v) sums[r][v] = hn::Zero(d);
  }
  const std::byte* first = chunk + key / kGroup * task.group_bytes;
  const int32_t lane = key % kGroup;
  for (int32_t pair = 0; pair < task.head_size; pair += 2) {
    for (int32_t half = 0; half < 2; ++half) {
      const int32_t element = pair + (half ^ Cache::kFirst);
      F32Vector keys[kVectors];
      for (int32_t v = 0; v < kVectors; ++v) {
        const int32_t at = lane + v * kLanes;
        const auto* group = reinterpret_cast<const Element*>(
            first + at / kGroup * task.group_bytes);
        keys[v] = Cache::Keys(group, element, at % kGroup);
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

// sums[row][vector] += weights[row] * value[offsets[vector] ...] of key `key`
// of a group.
template <class Cache, int32_t kRows, int32_t kVectors, class D>
HWY_INLINE void AddKey(D d, const typename Cache::Element* group, int32_t size,
                       int32_t key, const float* const* weights, int32_t weight,
                       const int32_t* offsets,
                       hn::Vec<D> (&sums)[kRows][kVectors]) {
  hn::Vec<D> x[kVectors];
  for (int32_t v = 0; v < kVectors; ++v) {
    x[v] = Cache::Values(d, group, size, key, offsets[v]);
  }
  for (int32_t r = 0; r < kRows; ++r) {
    const auto factor = hn::Set(d, weights[r][weight]);
    for (int32_t v = 0; v < kVectors; ++v) {
      sums[r][v] = hn::MulAdd(factor, x[v], sums[r][v]);
    }
  }
}

// sums[row][element ...] += weights[row][key] * values[key][element ...] of
// `count` keys, for kVectors vectors of elements at `offsets`.
template <class Cache, int32_t kRows, int32_t kVectors, class D>
HWY_NOINLINE void ValueTile(D d, const AttentionTask& task,
                            const std::byte* chunk, const float* const* weights,
                            int32_t key, int32_t count, const int32_t* offsets,
                            float* sums) {
  const int32_t size = task.head_size;
  hn::Vec<D> totals[kRows][kVectors];
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t v = 0; v < kVectors; ++v) {
      totals[r][v] = hn::LoadU(d, sums + r * PaddedHead(size) + offsets[v]);
    }
  }
  const int32_t end = key + count;
  for (; key < end; key += kGroup) {
    const auto* group = reinterpret_cast<const typename Cache::Element*>(
        chunk + key / kGroup * task.group_bytes);
    const int32_t left = HWY_MIN(kGroup, end - key);
    const auto add = [&](int32_t i) HWY_ATTR {
      AddKey<Cache, kRows, kVectors>(d, group, size, i, weights, key + i,
                                     offsets, totals);
    };
    for (int32_t pair = 0; pair + 1 < left; pair += 2) {
      add(pair + Cache::kFirst);
      add(pair + (1 ^ Cache::kFirst));
    }
    if (left % 2 != 0) add(left - 1);
  }
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t v = 0; v < kVectors; ++v) {
      hn::StoreU(totals[r][v], d, sums + r * PaddedHead(size) + offsets[v]);
    }
  }
}

// See attention_tile.h.
template <class Cache>
struct Kernel {
  using Word = float;
  static constexpr int32_t kQueryTile = kManyRegisters ? 6 : 3;
  static constexpr int32_t kKeysOfVector = kLanes;

  static const float* Prepare(const AttentionTask& task, const float* x,
                              int32_t n, uint32_t* buffer) {
    return Cache::Prepare(task, x, n, buffer);
  }

  template <int32_t kRows, int32_t kVectors>
  static void LogitTile(const AttentionTask& task, const std::byte* keys,
                        const float* const* q, int32_t key, float* logits) {
    MultiplyKeys<Cache, kRows, kVectors>(task, keys, q, key, logits);
  }

  // Where the head is no multiple of a vector, the last vector starts early: it
  // computes some elements a second time, from the same start to the same bits,
  // so a tile's loads come before its stores.
  template <int32_t kRows>
  static HWY_NOINLINE void AddValues(const AttentionTask& task,
                                     const std::byte* values,
                                     const float* const* weights, int32_t key,
                                     int32_t count, float* sums) {
    const F32Tag d;
    const int32_t size = task.head_size;
    if (size < kLanes) {
      for (int32_t i = 0; i < size; ++i) {
        ValueTile<Cache, kRows, 1>(hn::CappedTag<float, 1>(), task, values,
                                   weights, key, count, &i, sums);
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
      const auto tile = vectors == 1   ? &ValueTile<Cache, kRows, 1, F32Tag>
                        : vectors == 2 ? &ValueTile<Cache, kRows, 2, F32Tag>
                        : vectors == 3
                            ? &ValueTile<Cache, kRows, 3, F32Tag>
                            : &ValueTile<Cache, kRows, kValueVectors, F32Tag>;
      tile(d, task, values, weights, key, count, offsets, sums);
      first += vectors * kLanes;
    }
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace tlin
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
