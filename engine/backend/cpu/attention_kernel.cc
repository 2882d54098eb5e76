#include "engine/backend/cpu/attention_kernel.h"

#include <algorithm>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/backend/cpu/attention_kernel.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// After highway.h: it is included once for each instruction set.
#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace tlin {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// At most 16 lanes: one group of keys.
using F32 = hn::CappedTag<float, 16>;
using Vector = hn::Vec<F32>;

HWY_INLINE Vector LoadCached(const float* from) {
  return hn::LoadU(F32(), from);
}

HWY_INLINE Vector LoadCached(const hwy::bfloat16_t* from) {
  const hn::Rebind<hwy::bfloat16_t, F32> half;
  return hn::PromoteTo(F32(), hn::LoadU(half, from));
}

// scores[query][key] of `keys` keys from the group-aligned `first` on, scaled.
template <int kQueries, typename T>
HWY_NOINLINE void Scores(const AttentionShape& shape, int32_t head,
                         const float* const* q, const T* block_keys,
                         int32_t first, int32_t keys, float* scores) {
  const F32 f32;
  const auto lanes = static_cast<int32_t>(hn::Lanes(f32));
  const Vector scale =
      hn::Set(f32, 1.0f / std::sqrt(static_cast<float>(shape.head_size)));
  for (int32_t key = 0; key < keys; key += lanes) {
    const int32_t row = first + key;
    const T* from = block_keys + int64_t{row / 16} * shape.n_embd * 16 +
                    int64_t{head} * shape.head_size * 16 + row % 16;
    // Even and odd components apart: two chains of additions at once.
    Vector even[kQueries];
    Vector odd[kQueries];
    for (int i = 0; i < kQueries; ++i) even[i] = odd[i] = hn::Zero(f32);
    for (int32_t d = 0; d < shape.head_size; d += 2, from += 32) {
      const Vector k0 = LoadCached(from);
      const Vector k1 = LoadCached(from + 16);
      for (int i = 0; i < kQueries; ++i) {
        even[i] = hn::MulAdd(hn::Set(f32, q[i][d]), k0, even[i]);
        odd[i] = hn::MulAdd(hn::Set(f32, q[i][d + 1]), k1, odd[i]);
      }
    }
    for (int i = 0; i < kQueries; ++i) {
      hn::StoreU(hn::Mul(hn::Add(even[i], odd[i]), scale), f32,
                 scores + i * kKeyChunk + key);
    }
  }
}

// Replaces the first `keys` scores by exp(score - maximum) after the running
// maximum took them in, zeroes the rest of their group, and returns the factor
// by which what was summed before shrinks.
HWY_NOINLINE float Softmax(float* scores, int32_t keys, float* maximum,
                           float* sum) {
  const F32 f32;
  const auto lanes = static_cast<int32_t>(hn::Lanes(f32));
  const int32_t padded = (keys + 15) / 16 * 16;
  std::fill(scores + keys, scores + padded,
            -std::numeric_limits<float>::infinity());
  Vector most = hn::Set(f32, *maximum);
  for (int32_t key = 0; key < padded; key += lanes) {
    most = hn::Max(most, hn::LoadU(f32, scores + key));
  }
  const float new_maximum = hn::GetLane(hn::MaxOfLanes(f32, most));
  const float shrink = std::exp(*maximum - new_maximum);
  const Vector maxima = hn::Set(f32, new_maximum);
  Vector total = hn::Zero(f32);
  for (int32_t key = 0; key < padded; key += lanes) {
    // Below -100 a weight is no float any more; the bound keeps -inf out of
    // Exp.
    const Vector x = hn::Sub(hn::LoadU(f32, scores + key), maxima);
    const Vector weight =
        hn::IfThenElseZero(hn::Gt(x, hn::Set(f32, -100.0f)), hn::Exp(f32, x));
    hn::StoreU(weight, f32, scores + key);
    total = hn::Add(total, weight);
  }
  *sum = *sum * shrink + hn::GetLane(hn::SumOfLanes(f32, total));
  *maximum = new_maximum;
  return shrink;
}

// values[query][d] = values * shrink + weights · V, for one vector of d.
template <int kQueries, typename T>
HWY_NOINLINE void WeightedValues(const AttentionShape& shape,
                                 const T* values_of_head, int32_t keys,
                                 const float* weights, const float* shrink,
                                 const AttentionState& state) {
  const F32 f32;
  const auto lanes = static_cast<int32_t>(hn::Lanes(f32));
  int32_t d = 0;
  for (; d + lanes <= shape.head_size; d += lanes) {
    Vector sums[kQueries];
    for (int i = 0; i < kQueries; ++i) {
      sums[i] =
          hn::Mul(hn::LoadU(f32, state.values[i] + d), hn::Set(f32, shrink[i]));
    }
    const T* from = values_of_head + d;
    for (int32_t key = 0; key < keys; ++key, from += shape.n_embd) {
      const Vector v = LoadCached(from);
      for (int i = 0; i < kQueries; ++i) {
        sums[i] =
            hn::MulAdd(hn::Set(f32, weights[i * kKeyChunk + key]), v, sums[i]);
      }
    }
    for (int i = 0; i < kQueries; ++i) {
      hn::StoreU(sums[i], f32, state.values[i] + d);
    }
  }
  if (d == shape.head_size) return;
  // The rest of a head: the vector runs over into the next head, or into the
  // slack behind the block; what it finds there is not stored.
  Vector sums[kQueries];
  for (int i = 0; i < kQueries; ++i) sums[i] = hn::Zero(f32);
  const T* from = values_of_head + d;
  for (int32_t key = 0; key < keys; ++key, from += shape.n_embd) {
    const Vector v = LoadCached(from);
    for (int i = 0; i < kQueries; ++i) {
      sums[i] =
          hn::MulAdd(hn::Set(f32, weights[i * kKeyChunk + key]), v, sums[i]);
    }
  }
  float rest[16] = {};
  for (int i = 0; i < kQueries; ++i) {
    hn::StoreU(sums[i], f32, rest);
    float* const values = state.values[i] + d;
    for (int32_t j = 0; j < shape.head_size - d; ++j) {
      values[j] = values[j] * shrink[i] + rest[j];
    }
  }
}

template <int kQueries, typename T>
void AttendQueries(const AttentionShape& shape, int32_t head,
                   const float* const* q, const int32_t* visible,
                   const KvBlock& block, const AttentionState& state,
                   float* scores) {
  const T* const keys = reinterpret_cast<const T*>(block.data);
  const T* const values = keys + KvBlockRows(block.capacity) * shape.n_embd +
                          int64_t{head} * shape.head_size;
  int32_t most = 0;
  for (int i = 0; i < kQueries; ++i) most = std::max(most, visible[i]);
  for (int32_t first = 0; first < most; first += kKeyChunk) {
    const int32_t in_chunk = std::min(kKeyChunk, most - first);
    Scores<kQueries>(shape, head, q, keys, first, in_chunk, scores);
    float shrink[kQueries];
    for (int i = 0; i < kQueries; ++i) {
      float* const row = scores + i * kKeyChunk;
      const int32_t seen = std::clamp(visible[i] - first, 0, in_chunk);
      shrink[i] =
          seen == 0 ? 1.0f : Softmax(row, seen, state.maximum[i], state.sum[i]);
      std::fill(row + seen, row + in_chunk, 0.0f);
    }
    WeightedValues<kQueries>(shape, values + int64_t{first} * shape.n_embd,
                             in_chunk, scores, shrink, state);
  }
}

template <typename T>
void AttendTyped(const AttentionShape& shape, int32_t head, int32_t queries,
                 const float* const* q, const int32_t* visible,
                 const KvBlock& block, const AttentionState& state,
                 float* scores) {
  switch (queries) {
    case 1:
      return AttendQueries<1, T>(shape, head, q, visible, block, state, scores);
    case 2:
      return AttendQueries<2, T>(shape, head, q, visible, block, state, scores);
    case 3:
      return AttendQueries<3, T>(shape, head, q, visible, block, state, scores);
    default:
      return AttendQueries<4, T>(shape, head, q, visible, block, state, scores);
  }
}

void Attend(const AttentionShape& shape, int32_t head, int32_t queries,
            const float* const* q, const int32_t* visible, const KvBlock& block,
            const AttentionState& state, float* scores) {
  if (shape.dtype == DType::kBF16) {
    AttendTyped<hwy::bfloat16_t>(shape, head, queries, q, visible, block, state,
                                 scores);
  } else {
    AttendTyped<float>(shape, head, queries, q, visible, block, state, scores);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tlin
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tlin {

HWY_EXPORT(Attend);

void AttendBlock(const AttentionShape& shape, int32_t head, int32_t queries,
                 const float* const* q, const int32_t* visible,
                 const KvBlock& block, const AttentionState& state,
                 float* scores) {
  HWY_DYNAMIC_DISPATCH(Attend)
  (shape, head, queries, q, visible, block, state, scores);
}

}  // namespace tlin
#endif  // HWY_ONCE
