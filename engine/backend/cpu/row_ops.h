// Operations on one row of f32: small against the products that they stand
// between, so they run inside the tasks that prepare a product's input.
#ifndef TLIN_ENGINE_BACKEND_CPU_ROW_OPS_H_
#define TLIN_ENGINE_BACKEND_CPU_ROW_OPS_H_

#include <cstdint>

namespace tlin {

// out = (x - mean) / sqrt(variance + 1e-5) * weight + bias, over n elements,
// biased variance. Reads x three times (from the first-level cache), 9 FLOP an
// element. `out` may be x.
void LayerNormRow(const float* x, const float* weight, const float* bias,
                  int64_t n, float* out);

// out = silu(gate) * up. One division and one exponential an element. `out` may
// be gate.
void SwiGluRow(const float* gate, const float* up, int64_t n, float* out);

// out[i] = x[i] / divisor, or out[i] += that.
void DivideRow(const float* x, float divisor, int64_t n, bool add, float* out);

}  // namespace tlin

#endif  // TLIN_ENGINE_BACKEND_CPU_ROW_OPS_H_
