#include "engine/backend/cpu/row_ops.h"

#include <cmath>

#include "engine/backend/cpu/simd_targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/backend/cpu/row_ops.cc"
#include "hwy/foreach_target.h"
//
#include "engine/backend/cpu/vector_math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tlin {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// step(tag, index) over whole vectors, then over what is left one by one: no
// access beyond n, and the same instructions for an element of every row.
template <class Step>
HWY_INLINE void ForEachVector(int64_t n, const Step& step) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) step(d, i);
  for (; i < n; ++i) step(hn::CappedTag<float, 1>(), i);
}

// Sum of term(tag, index) over a row.
template <class Term>
HWY_INLINE float SumOverRow(int64_t n, const Term& term) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  auto sum = hn::Zero(d);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) sum = hn::Add(sum, term(d, i));
  float total = hn::GetLane(hn::SumOfLanes(d, sum));
  for (; i < n; ++i) total += hn::GetLane(term(hn::CappedTag<float, 1>(), i));
  return total;
}

void LayerNorm(const float* x, const float* weight, const float* bias,
               int64_t n, float* out) {
  const float count = static_cast<float>(n);
  const float mean =
      SumOverRow(
          n, [x](auto d, int64_t i) HWY_ATTR { return hn::LoadU(d, x + i); }) /
      count;
  const float variance =
      SumOverRow(n,
                 [x, mean](auto d, int64_t i) HWY_ATTR {
                   const auto distance =
                       hn::Sub(hn::LoadU(d, x + i), hn::Set(d, mean));
                   return hn::Mul(distance, distance);
                 }) /
      count;
  const float scale = 1.0f / std::sqrt(variance + 1e-5f);
  ForEachVector(n, [=](auto d, int64_t i) HWY_ATTR {
    const auto normal = hn::Mul(hn::Sub(hn::LoadU(d, x + i), hn::Set(d, mean)),
                                hn::Set(d, scale));
    hn::StoreU(
        hn::MulAdd(normal, hn::LoadU(d, weight + i), hn::LoadU(d, bias + i)), d,
        out + i);
  });
}

void SwiGlu(const float* gate, const float* up, int64_t n, float* out) {
  ForEachVector(n, [=](auto d, int64_t i) HWY_ATTR {
    const auto g = hn::LoadU(d, gate + i);
    // Above 126 the exponential would leave its range; silu is 0 long before.
    const auto limit = hn::Set(d, 126.0f);
    const auto power = hn::Mul(g, hn::Set(d, -kLog2E));
    const auto exponential =
        Exp2(d, hn::IfThenElse(hn::Gt(power, limit), limit, power));
    const auto silu = hn::Div(g, hn::Add(exponential, hn::Set(d, 1.0f)));
    hn::StoreU(hn::Mul(silu, hn::LoadU(d, up + i)), d, out + i);
  });
}

void Divide(const float* x, float divisor, int64_t n, bool add, float* out) {
  const float factor = 1.0f / divisor;
  ForEachVector(n, [=](auto d, int64_t i) HWY_ATTR {
    const auto value = hn::Mul(hn::LoadU(d, x + i), hn::Set(d, factor));
    hn::StoreU(add ? hn::Add(hn::LoadU(d, out + i), value) : value, d, out + i);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace tlin
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tlin {

HWY_EXPORT(LayerNorm);
HWY_EXPORT(SwiGlu);
HWY_EXPORT(Divide);

void LayerNormRow(const float* x, const float* weight, const float* bias,
                  int64_t n, float* out) {
  HWY_DYNAMIC_DISPATCH(LayerNorm)(x, weight, bias, n, out);
}

void SwiGluRow(const float* gate, const float* up, int64_t n, float* out) {
  HWY_DYNAMIC_DISPATCH(SwiGlu)(gate, up, n, out);
}

void DivideRow(const float* x, float divisor, int64_t n, bool add, float* out) {
  HWY_DYNAMIC_DISPATCH(Divide)(x, divisor, n, add, out);
}

}  // namespace tlin
#endif  // HWY_ONCE
