#include "engine/backend/cpu/row_ops.h"

#include <cmath>

#include "engine/backend/cpu/bf16.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/backend/cpu/row_ops.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// After highway.h: it is included once for each instruction set.
#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace tlin {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using F32 = hn::ScalableTag<float>;

float SumOf(const float* x, int64_t n) {
  const F32 f32;
  const auto lanes = static_cast<int64_t>(hn::Lanes(f32));
  auto sum = hn::Zero(f32);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) sum = hn::Add(sum, hn::LoadU(f32, x + i));
  float total = hn::GetLane(hn::SumOfLanes(f32, sum));
  for (; i < n; ++i) total += x[i];
  return total;
}

float SquaredDistance(const float* x, float mean, int64_t n) {
  const F32 f32;
  const auto lanes = static_cast<int64_t>(hn::Lanes(f32));
  const auto center = hn::Set(f32, mean);
  auto sum = hn::Zero(f32);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto difference = hn::Sub(hn::LoadU(f32, x + i), center);
    sum = hn::MulAdd(difference, difference, sum);
  }
  float total = hn::GetLane(hn::SumOfLanes(f32, sum));
  for (; i < n; ++i) total += (x[i] - mean) * (x[i] - mean);
  return total;
}

void LayerNorm(const float* x, const float* weight, const float* bias,
               int64_t n, float* out) {
  const F32 f32;
  const auto lanes = static_cast<int64_t>(hn::Lanes(f32));
  const float mean = SumOf(x, n) / static_cast<float>(n);
  const float variance = SquaredDistance(x, mean, n) / static_cast<float>(n);
  const float scale = 1.0f / std::sqrt(variance + 1e-5f);
  const auto center = hn::Set(f32, mean);
  const auto scales = hn::Set(f32, scale);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto normal = hn::Mul(hn::Sub(hn::LoadU(f32, x + i), center), scales);
    hn::StoreU(hn::MulAdd(normal, hn::LoadU(f32, weight + i),
                          hn::LoadU(f32, bias + i)),
               f32, out + i);
  }
  for (; i < n; ++i) out[i] = (x[i] - mean) * scale * weight[i] + bias[i];
}

void SwiGlu(const float* gate, const float* up, int64_t n, float* out) {
  const F32 f32;
  const auto lanes = static_cast<int64_t>(hn::Lanes(f32));
  const auto one = hn::Set(f32, 1.0f);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto g = hn::LoadU(f32, gate + i);
    const auto sigmoid = hn::Div(one, hn::Add(one, hn::Exp(f32, hn::Neg(g))));
    hn::StoreU(hn::Mul(hn::Mul(g, sigmoid), hn::LoadU(f32, up + i)), f32,
               out + i);
  }
  for (; i < n; ++i) out[i] = gate[i] / (1.0f + std::exp(-gate[i])) * up[i];
}

void Add(const float* x, int64_t n, float* sum) {
  const F32 f32;
  const auto lanes = static_cast<int64_t>(hn::Lanes(f32));
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(hn::Add(hn::LoadU(f32, sum + i), hn::LoadU(f32, x + i)), f32,
               sum + i);
  }
  for (; i < n; ++i) sum[i] += x[i];
}

}  // namespace HWY_NAMESPACE
}  // namespace tlin
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tlin {

HWY_EXPORT(LayerNorm);
HWY_EXPORT(SwiGlu);
HWY_EXPORT(Add);

void LayerNormRow(const float* x, const float* weight, const float* bias,
                  int64_t n, float* out) {
  HWY_DYNAMIC_DISPATCH(LayerNorm)(x, weight, bias, n, out);
}

void SwiGluRow(const float* gate, const float* up, int64_t n, float* out) {
  HWY_DYNAMIC_DISPATCH(SwiGlu)(gate, up, n, out);
}

void AddRow(const float* x, int64_t n, float* sum) {
  HWY_DYNAMIC_DISPATCH(Add)(x, n, sum);
}

void RotateRow(float* row, int32_t n_head, int32_t head_size,
               const float* cosines, const float* sines) {
  for (int32_t head = 0; head < n_head; ++head, row += head_size) {
    for (int32_t i = 0; i < head_size / 2; ++i) {
      const float even = row[2 * i];
      const float odd = row[2 * i + 1];
      row[2 * i] = even * cosines[i] - odd * sines[i];
      row[2 * i + 1] = even * sines[i] + odd * cosines[i];
    }
  }
}

void RowToBF16(const float* x, int64_t n, uint16_t* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = ToBF16(x[i]);
  if (n % 2 != 0) out[n] = 0;
}

}  // namespace tlin
#endif  // HWY_ONCE
