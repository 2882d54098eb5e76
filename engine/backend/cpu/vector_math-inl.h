// Per-target part: 2^x for softmax and SwiGLU.
#include "hwy/highway.h"

// Per-target include guard.
#if defined(TLIN_ENGINE_BACKEND_CPU_VECTOR_MATH_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifndef TLIN_ENGINE_BACKEND_CPU_VECTOR_MATH_INL_H_
#define TLIN_ENGINE_BACKEND_CPU_VECTOR_MATH_INL_H_
#else
#undef TLIN_ENGINE_BACKEND_CPU_VECTOR_MATH_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace tlin {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr float kLog2E = 1.44269504088896341f;

// 2^x, relative error below 3e-7, for x <= 127; 0 below -126, so no result is
// subnormal. Exact at 0. NaN stays NaN. 13 instructions.
template <class D>
HWY_INLINE hn::Vec<D> Exp2(D d, hn::Vec<D> x) {
  const hn::RebindToUnsigned<D> du;
  // x = n + r, |r| <= 1/2; 2^r by its minimax polynomial of degree 5. Adding
  // 1.5 * 2^23 rounds x to n, which is then in the lowest bits of the sum.
  const auto big = hn::Set(d, 12582912.0f);
  const auto shifted = hn::Add(x, big);
  const auto r = hn::Sub(x, hn::Sub(shifted, big));
  auto p = hn::Set(d, 1.3264727165e-03f);
  p = hn::MulAdd(p, r, hn::Set(d, 9.6715126419e-03f));
  p = hn::MulAdd(p, r, hn::Set(d, 5.5507337434e-02f));
  p = hn::MulAdd(p, r, hn::Set(d, 2.4022242085e-01f));
  p = hn::MulAdd(p, r, hn::Set(d, 6.9314697760e-01f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f));
  const auto power =
      hn::BitCast(d, hn::Add(hn::ShiftLeft<23>(hn::BitCast(du, shifted)),
                             hn::Set(du, 0x3F800000u)));
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -126.0f)), hn::Mul(p, power));
}

}  // namespace HWY_NAMESPACE
}  // namespace tlin
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
