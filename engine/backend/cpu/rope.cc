#include "engine/backend/cpu/rope.h"

#include "engine/backend/backend_shape.h"
#include "engine/backend/cpu/simd_targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/backend/cpu/rope.cc"
#include "hwy/foreach_target.h"
//
#include "hwy/highway.h"

// Plain loops: the compiler makes vectors of them for each target.
HWY_BEFORE_NAMESPACE();
namespace tlin {
namespace HWY_NAMESPACE {

// The nearest multiple of pi/2 is taken off in double, pi/2 being split in two
// parts of which the first has 33 bits: its product with any n < 2^20 is exact,
// and up to n = 2^30 it is off by 2^-24 at most. What is left, at most pi/4,
// goes through the Taylor polynomials; the first terms left out are below 2e-9.
void CosSin(float position, const float* frequencies, int32_t count,
            float* cosines, float* sines) {
  constexpr double kTwoOverPi = 0.63661977236758134308;
  constexpr double kPiHalfHigh = 1.57079632673412561417;
  constexpr double kPiHalfLow = 6.07710050650619224932e-11;
  // Adding and subtracting it rounds to the nearest integer, and leaves that
  // integer in the sum's low bits.
  constexpr double kRound = 6755399441055744.0;  // 1.5 * 2^52
  for (int32_t i = 0; i < count; ++i) {
    const float angle = position * frequencies[i];
    const double x = angle;
    const double n = (x * kTwoOverPi + kRound) - kRound;
    const double r = (x - n * kPiHalfHigh) - n * kPiHalfLow;
    const double r2 = r * r;
    const double sine =
        r + r * r2 *
                (-1.0 / 6 +
                 r2 * (1.0 / 120 + r2 * (-1.0 / 5040 + r2 * (1.0 / 362880))));
    const double cosine =
        1.0 +
        r2 * (-0.5 + r2 * (1.0 / 24 +
                           r2 * (-1.0 / 720 +
                                 r2 * (1.0 / 40320 + r2 * (-1.0 / 3628800)))));
    // Quarter turns: swap on odd ones, signs by the half turn.
    const int32_t quarter = static_cast<int32_t>(n);
    const bool odd = (quarter & 1) != 0;
    const double c = odd ? sine : cosine;
    const double s = odd ? cosine : sine;
    cosines[i] = static_cast<float>(((quarter + 1) & 2) != 0 ? -c : c);
    sines[i] = static_cast<float>((quarter & 2) != 0 ? -s : s);
  }
}

void RotateHeads(const float* __restrict from, int32_t n_head, int32_t pairs,
                 const float* __restrict turn, float* __restrict to) {
  for (int32_t head = 0; head < n_head; ++head) {
    for (int32_t i = 0; i < pairs; ++i) {
      const float even = from[2 * i];
      const float odd = from[2 * i + 1];
      to[2 * i] = even * turn[i] - odd * turn[pairs + i];
      to[2 * i + 1] = even * turn[pairs + i] + odd * turn[i];
    }
    from += 2 * pairs;
    to += 2 * pairs;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tlin
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tlin {

HWY_EXPORT(CosSin);
HWY_EXPORT(RotateHeads);

Rope::Rope(int32_t head_size)
    : head_size_(head_size), frequencies_(RopeFrequencies(head_size)) {}

void Rope::MakeTurn(int32_t position, float* turn) const {
  const int32_t pairs = head_size_ / 2;
  HWY_DYNAMIC_DISPATCH(CosSin)
  (static_cast<float>(position), frequencies_.data(), pairs, turn,
   turn + pairs);
}

void Rope::Rotate(const float* from, int32_t n_head, const float* turn,
                  float* to) const {
  HWY_DYNAMIC_DISPATCH(RotateHeads)(from, n_head, head_size_ / 2, turn, to);
}

}  // namespace tlin
#endif  // HWY_ONCE
