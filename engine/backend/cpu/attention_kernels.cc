#include "engine/backend/cpu/attention_kernels.h"

#include <algorithm>
#include <limits>

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

void Weigh(int32_t keys, int32_t end, float scale, float* row, float* maximum,
           float* sum) {
  const F32Tag d;
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

HWY_NOINLINE void MergeOne(float maximum, float sum, const float* values,
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
    MergeOne(later.maximum[row], later.sum[row],
             later.values + int64_t{row} * head_size, head_size, scale, row,
             state);
  }
}

void QueriesInF32(const AttentionTask& task) {
  AttendQueries<Kernel<F32Cache>>(task);
}

void HeadsInF32(const AttentionTask& task) {
  AttendHeads<Kernel<F32Cache>>(task);
}

void QueriesInBf16(const AttentionTask& task) {
  AttendQueries<Kernel<Bf16Cache>>(task);
}

void HeadsInBf16(const AttentionTask& task) {
  AttendHeads<Kernel<Bf16Cache>>(task);
}

}  // namespace HWY_NAMESPACE
}  // namespace tlin
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tlin {

HWY_EXPORT(QueriesInF32);
HWY_EXPORT(HeadsInF32);
HWY_EXPORT(QueriesInBf16);
HWY_EXPORT(HeadsInBf16);
HWY_EXPORT(Weigh);
HWY_EXPORT(MergeOne);
HWY_EXPORT(Merge);

namespace {

void QueriesF32(const AttentionTask& task) {
  HWY_DYNAMIC_DISPATCH(QueriesInF32)(task);
}

void HeadsF32(const AttentionTask& task) {
  HWY_DYNAMIC_DISPATCH(HeadsInF32)(task);
}

void QueriesBf16(const AttentionTask& task) {
  HWY_DYNAMIC_DISPATCH(QueriesInBf16)(task);
}

void HeadsBf16(const AttentionTask& task) {
  HWY_DYNAMIC_DISPATCH(HeadsInBf16)(task);
}

}  // namespace

const AttentionKernels& AttentionF32() {
  static constexpr AttentionKernels kKernels = {&QueriesF32, &HeadsF32};
  return kKernels;
}

const AttentionKernels& AttentionBf16() {
  static constexpr AttentionKernels kKernels = {&QueriesBf16, &HeadsBf16};
  return kKernels;
}

const AttentionKernels& AttentionFor(const GemmKernels& gemm) {
  if (&gemm == &GemmF32()) return AttentionF32();
  return &gemm == GemmBf16Dot() ? AttentionBf16Dot() : AttentionBf16();
}

void WeighLogits(int32_t keys, int32_t end, float scale, float* row,
                 float* maximum, float* sum) {
  if (keys == 0) {
    std::fill_n(row, end, 0.0f);
    return;
  }
  HWY_DYNAMIC_DISPATCH(Weigh)(keys, end, scale, row, maximum, sum);
}

void MergeRow(float maximum, float sum, const float* values, int32_t head_size,
              float scale, int32_t row, const SoftmaxState& state) {
  HWY_DYNAMIC_DISPATCH(MergeOne)
  (maximum, sum, values, head_size, scale, row, state);
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
