// Per-target part of attention_kernels: logits and weighted values of a tile of
// queries, with their sums in registers.
#include "engine/backend/cpu/attention_kernels.h"
#include "engine/backend/kv_block.h"
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
inline constexpr int32_t kQueryTile = HWY_TARGET == HWY_AVX2 ? 3 : 6;
inline constexpr int32_t kTileVectors = 4;

// How a format's keys and values become f32 vectors.
struct F32Cache {
  using Element = float;
  // Elements `element` (even) and `element + 1` of kLanes keys of a group.
  static HWY_INLINE void LoadKeys(const float* group, int32_t element,
                                  int32_t lane, F32Vector& even,
                                  F32Vector& odd) {
    even = hn::LoadU(F32Tag(), group + element * kGroup + lane);
    odd = hn::LoadU(F32Tag(), group + (element + 1) * kGroup + lane);
  }
  template <class D>
  static HWY_INLINE hn::Vec<D> LoadValues(D d, const float* values) {
    return hn::LoadU(d, values);
  }
};

struct Bf16Cache {
  using Element = uint16_t;
  static HWY_INLINE void LoadKeys(const uint16_t* group, int32_t element,
                                  int32_t lane, F32Vector& even,
                                  F32Vector& odd) {
    const hn::RebindToUnsigned<F32Tag> du;
    const auto pair = hn::LoadU(du, reinterpret_cast<const uint32_t*>(group) +
                                        element / 2 * kGroup + lane);
    even = hn::BitCast(F32Tag(), hn::ShiftLeft<16>(pair));
    odd = hn::BitCast(F32Tag(), hn::And(pair, hn::Set(du, 0xFFFF0000u)));
  }
  template <class D>
  static HWY_INLINE hn::Vec<D> LoadValues(D d, const uint16_t* values) {
    const hn::Rebind<uint16_t, D> du16;
    const hn::RebindToUnsigned<D> du32;
    return hn::BitCast(
        d, hn::ShiftLeft<16>(hn::PromoteTo(du32, hn::LoadU(du16, values))));
  }
};

// One query alone waits for memory: the next tile's keys, and the values that
// go with these keys, come to the second-level cache in the meantime.
template <class Cache>
HWY_INLINE void PrefetchAhead(const AttentionTask& task,
                              const typename Cache::Element* group,
                              int32_t element, int64_t tile_size) {
  const auto* at = reinterpret_cast<const std::byte*>(group + element * kGroup);
  const int64_t bytes = 2 * kGroup * int64_t{sizeof(*group)};
  for (int64_t line = 0; line < bytes; line += 64) {
    __builtin_prefetch(at + tile_size * int64_t{sizeof(*group)} + line, 0, 2);
    __builtin_prefetch(task.values + (at - task.keys) + line, 0, 2);
  }
}

// logits[row][key] of kRows queries and kVectors vectors of keys, `key` on.
template <class Cache, int32_t kRows, int32_t kVectors>
HWY_INLINE void LogitTile(const AttentionTask& task, const float* q,
                          int32_t key, float* logits) {
  const F32Tag d;
  const auto* keys =
      reinterpret_cast<const typename Cache::Element*>(task.keys);
  F32Vector sums[kRows][kVectors];
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t v = 0; v < kVectors; ++v) sums[r][v] = hn::Zero(d);
  }
  const int64_t group_size = int64_t{task.head_size} * kGroup;
  const auto* first = keys + key / kGroup * group_size;
  const int32_t lane = key % kGroup;
  for (int32_t i = 0; i < task.head_size; i += 2) {
    F32Vector even[kVectors];
    F32Vector odd[kVectors];
    for (int32_t v = 0; v < kVectors; ++v) {
      const int32_t at = lane + v * kLanes;
      Cache::LoadKeys(first + at / kGroup * group_size, i, at % kGroup, even[v],
                      odd[v]);
      if constexpr (kRows == 1) {
        PrefetchAhead<Cache>(task, first + at / kGroup * group_size, i,
                             kVectors * kLanes / kGroup * group_size);
      }
    }
    for (int32_t r = 0; r < kRows; ++r) {
      const F32Vector x = hn::Set(d, q[r * task.q_stride + i]);
      for (int32_t v = 0; v < kVectors; ++v) {
        sums[r][v] = hn::MulAdd(x, even[v], sums[r][v]);
      }
    }
    for (int32_t r = 0; r < kRows; ++r) {
      const F32Vector x = hn::Set(d, q[r * task.q_stride + i + 1]);
      for (int32_t v = 0; v < kVectors; ++v) {
        sums[r][v] = hn::MulAdd(x, odd[v], sums[r][v]);
      }
    }
  }
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t v = 0; v < kVectors; ++v) {
      hn::StoreU(sums[r][v], d, logits + r * kKeyChunk + key + v * kLanes);
    }
  }
}

// logits [kRows, kKeyChunk] of the first `keys` keys, up to a whole group.
template <class Cache, int32_t kRows>
HWY_NOINLINE void Logits(const AttentionTask& task, const float* q,
                         int32_t keys, float* logits) {
  const int32_t end = (keys + kGroup - 1) / kGroup * kGroup;
  int32_t key = 0;
  for (; key + kTileVectors * kLanes <= end; key += kTileVectors * kLanes) {
    LogitTile<Cache, kRows, kTileVectors>(task, q, key, logits);
  }
  for (; key < end; key += kLanes) {
    LogitTile<Cache, kRows, 1>(task, q, key, logits);
  }
}

// values[row][element ...] += weights[row][key] * V[key][element ...] for keys
// [begin, end) in order and kVectors vectors of elements at `offsets`.
template <class Cache, int32_t kRows, int32_t kVectors, class D>
HWY_INLINE void ValueTile(D d, const AttentionTask& task, const float* weights,
                          int32_t begin, int32_t end, const int32_t* offsets,
                          float* values) {
  const auto* v_rows =
      reinterpret_cast<const typename Cache::Element*>(task.values);
  hn::Vec<D> sums[kRows][kVectors];
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t v = 0; v < kVectors; ++v) {
      sums[r][v] = hn::LoadU(d, values + r * task.head_size + offsets[v]);
    }
  }
  for (int32_t key = begin; key < end; ++key) {
    const auto* v_row = v_rows + int64_t{key} * task.head_size;
    hn::Vec<D> x[kVectors];
    for (int32_t v = 0; v < kVectors; ++v) {
      x[v] = Cache::LoadValues(d, v_row + offsets[v]);
    }
    for (int32_t r = 0; r < kRows; ++r) {
      const auto weight = hn::Set(d, weights[r * kKeyChunk + key]);
      for (int32_t v = 0; v < kVectors; ++v) {
        sums[r][v] = hn::MulAdd(weight, x[v], sums[r][v]);
      }
    }
  }
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t v = 0; v < kVectors; ++v) {
      hn::StoreU(sums[r][v], d, values + r * task.head_size + offsets[v]);
    }
  }
}

// The same for all elements of a head. Where the head is no multiple of a
// vector, the last vector starts early: it computes some elements a second
// time, from the same start to the same bits, so all its loads come before any
// store.
template <class Cache, int32_t kRows>
HWY_NOINLINE void Values(const AttentionTask& task, const float* weights,
                         int32_t begin, int32_t end, float* values) {
  const F32Tag d;
  if (task.head_size < kLanes) {
    for (int32_t i = 0; i < task.head_size; ++i) {
      ValueTile<Cache, kRows, 1>(hn::CappedTag<float, 1>(), task, weights,
                                 begin, end, &i, values);
    }
    return;
  }
  const int32_t last = task.head_size - kLanes;
  for (int32_t first = 0; first < task.head_size;) {
    const int32_t left = (task.head_size - first + kLanes - 1) / kLanes;
    // Not 4 and then an overlapping 1: the overlap must be within one tile.
    const int32_t vectors = left == 5 ? 3 : HWY_MIN(left, kTileVectors);
    int32_t offsets[kTileVectors];
    for (int32_t v = 0; v < vectors; ++v) {
      offsets[v] = HWY_MIN(first + v * kLanes, last);
    }
    switch (vectors) {
      case 1:
        ValueTile<Cache, kRows, 1>(d, task, weights, begin, end, offsets,
                                   values);
        break;
      case 2:
        ValueTile<Cache, kRows, 2>(d, task, weights, begin, end, offsets,
                                   values);
        break;
      case 3:
        ValueTile<Cache, kRows, 3>(d, task, weights, begin, end, offsets,
                                   values);
        break;
      default:
        ValueTile<Cache, kRows, kTileVectors>(d, task, weights, begin, end,
                                              offsets, values);
    }
    first += vectors * kLanes;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tlin
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
