#include "engine/backend/cpu/attention_kernels.h"

#include <algorithm>
#include <limits>

#include "engine/backend/cpu/float_formats.h"
#include "engine/backend/cpu/simd_targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/backend/cpu/attention_kernels.cc"
#include "hwy/foreach_target.h"
//
#include "engine/backend/cpu/attention_tile-inl.h"
#include "engine/backend/cpu/vector_math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tlin {
namespace HWY_NAMESPACE {

HWY_INLINE float Exp2OfOne(float x) {
  const hn::CappedTag<float, 1> d;
  return hn::GetLane(Exp2(d, hn::Set(d, x)));
}

// Turns the first `keys` logits of a row into weights exp(scale * (logit -
// maximum)), and the rest of their group into zeros.
HWY_NOINLINE void Weigh(int32_t keys, float scale, float* row, float* maximum,
                        float* sum) {
  const F32Tag d;
  const int32_t end = (keys + kGroup - 1) / kGroup * kGroup;
  std::fill(row + keys, row + end, -std::numeric_limits<float>::infinity());
  auto most = hn::LoadU(d, row);
  for (int32_t key = kLanes; key < end; key += kLanes) {
    most = hn::Max(most, hn::LoadU(d, row + key));
  }
  *maximum = hn::GetLane(hn::MaxOfLanes(d, most));
  const auto maxima = hn::Set(d, *maximum);
  const auto factor = hn::Set(d, scale * kLog2E);
  auto total = hn::Zero(d);
  for (int32_t key = 0; key < end; key += kLanes) {
    const auto weight =
        Exp2(d, hn::Mul(hn::Sub(hn::LoadU(d, row + key), maxima), factor));
    hn::StoreU(weight, d, row + key);
    total = hn::Add(total, weight);
  }
  *sum = hn::GetLane(hn::SumOfLanes(d, total));
}

HWY_NOINLINE void MergeRow(float maximum, float sum, const float* values,
                           int32_t head_size, float scale, int32_t row,
                           const SoftmaxState& state) {
  float* to = state.values + int64_t{row} * head_size;
  if (state.sum[row] == 0.0f) {  // of a chunk it is 1 or more
    state.maximum[row] = maximum;
    state.sum[row] = sum;
    std::copy(values, values + head_size, to);
    return;
  }
  const float most = std::max(state.maximum[row], maximum);
  const float keep = Exp2OfOne((state.maximum[row] - most) * (scale * kLog2E));
  const float take = Exp2OfOne((maximum - most) * (scale * kLog2E));
  state.maximum[row] = most;
  state.sum[row] = state.sum[row] * keep + sum * take;
  for (int32_t i = 0; i < head_size; ++i) {
    to[i] = to[i] * keep + values[i] * take;
  }
}

void Merge(const SoftmaxState& later, int32_t rows, int32_t head_size,
           float scale, const SoftmaxState& state) {
  for (int32_t row = 0; row < rows; ++row) {
    if (later.sum[row] == 0.0f) continue;
    MergeRow(later.maximum[row], later.sum[row],
             later.values + int64_t{row} * head_size, head_size, scale, row,
             state);
  }
}

// Queries [row, row + kRows).
template <class Cache, int32_t kRows>
HWY_INLINE void AttendTile(const AttentionTask& task, int32_t row) {
  int32_t sees[kRows];
  for (int32_t r = 0; r < kRows; ++r) {
    sees[r] = std::clamp(task.first_sees + (row + r) * task.sees_step, 0,
                         task.key_count);
  }
  if (sees[kRows - 1] == 0) return;
  float* weights = task.scratch;
  float* values = task.scratch + kMaxQueryTile * kKeyChunk;
  const float* q = task.q + row * task.q_stride;
  Logits<Cache, kRows>(task, q, sees[kRows - 1], weights);
  float maxima[kRows];
  float sums[kRows];
  for (int32_t r = 0; r < kRows; ++r) {
    if (sees[r] == 0) continue;
    Weigh(sees[r], task.scale, weights + r * kKeyChunk, &maxima[r], &sums[r]);
  }
  std::fill(values, values + kRows * task.head_size, 0.0f);
  // The keys that all of them see, then what later ones see beyond.
  Values<Cache, kRows>(task, weights, 0, sees[0], values);
  for (int32_t r = 0; r < kRows; ++r) {
    if (sees[r] == 0) continue;
    float* row_values = values + r * task.head_size;
    if (sees[r] > sees[0]) {
      Values<Cache, 1>(task, weights + r * kKeyChunk, sees[0], sees[r],
                       row_values);
    }
    MergeRow(maxima[r], sums[r], row_values, task.head_size, task.scale,
             row + r, task.state);
  }
}

template <class Cache>
void AttendRows(const AttentionTask& task) {
  int32_t row = 0;
  for (; row + kQueryTile <= task.rows; row += kQueryTile) {
    AttendTile<Cache, kQueryTile>(task, row);
  }
  for (; row + 2 <= task.rows; row += 2) AttendTile<Cache, 2>(task, row);
  if (row < task.rows) AttendTile<Cache, 1>(task, row);
}

void AttendF32(const AttentionTask& task) { AttendRows<F32Cache>(task); }
void AttendBf16(const AttentionTask& task) { AttendRows<Bf16Cache>(task); }

// Plain loops: the compiler makes vectors of them for each target.
void Widen(const uint32_t* keys, const uint16_t* values, int32_t key_count,
           int32_t head_size, float* wide_keys, float* wide_values) {
  const int32_t groups = (key_count + kGroup - 1) / kGroup;
  for (int32_t pair = 0; pair < groups * head_size / 2; ++pair) {
    for (int32_t lane = 0; lane < kGroup; ++lane) {
      const uint32_t bits = keys[pair * kGroup + lane];
      wide_keys[2 * pair * kGroup + lane] =
          Bf16ToFloat(static_cast<uint16_t>(bits));
      wide_keys[(2 * pair + 1) * kGroup + lane] =
          Bf16ToFloat(static_cast<uint16_t>(bits >> 16));
    }
  }
  for (int32_t i = 0; i < key_count * head_size; ++i) {
    wide_values[i] = Bf16ToFloat(values[i]);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tlin
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tlin {

HWY_EXPORT(AttendF32);
HWY_EXPORT(AttendBf16);
HWY_EXPORT(Merge);
HWY_EXPORT(Widen);

void AttendChunk(DType dtype, const AttentionTask& task) {
  if (dtype == DType::kF32) {
    HWY_DYNAMIC_DISPATCH(AttendF32)(task);
  } else {
    HWY_DYNAMIC_DISPATCH(AttendBf16)(task);
  }
}

void WidenChunk(const std::byte* keys, const std::byte* values,
                int32_t key_count, int32_t head_size, float* wide_keys,
                float* wide_values) {
  HWY_DYNAMIC_DISPATCH(Widen)
  (reinterpret_cast<const uint32_t*>(keys),
   reinterpret_cast<const uint16_t*>(values), key_count, head_size, wide_keys,
   wide_values);
}

void MergeState(const SoftmaxState& later, int32_t rows, int32_t head_size,
                float scale, const SoftmaxState& state) {
  HWY_DYNAMIC_DISPATCH(Merge)(later, rows, head_size, scale, state);
}

void ClearState(int32_t rows, int32_t head_size, const SoftmaxState& state) {
  std::fill_n(state.maximum, rows, -std::numeric_limits<float>::infinity());
  std::fill_n(state.sum, rows, 0.0f);
  std::fill_n(state.values, int64_t{rows} * head_size, 0.0f);
}

}  // namespace tlin
#endif  // HWY_ONCE
