// Operations on single rows: LayerNorm, rotation, SwiGLU, rounding to bf16.
// Bytes: each row read and written once; FLOPs: negligible beside the GEMMs.
#ifndef TLIN_ENGINE_BACKEND_CPU_ROW_OPS_H_
#define TLIN_ENGINE_BACKEND_CPU_ROW_OPS_H_

#include <cstddef>
#include <cstdint>

namespace tlin {

// out = (x - mean) / sqrt(variance + 1e-5) * weight + bias over n elements, the
// variance biased.
void LayerNormRow(const float* x, const float* weight, const float* bias,
                  int64_t n, float* out);

// out[i] = silu(gate[i]) * up[i].
void SwiGluRow(const float* gate, const float* up, int64_t n, float* out);

// Rotates the pairs (2i, 2i + 1) of each of n_head heads by the angles whose
// cosines and sines are given: [head_size / 2] each. In place.
void RotateRow(float* row, int32_t n_head, int32_t head_size,
               const float* cosines, const float* sines);

// Rounds to nearest even. `out` has room for n rounded up to 2; the odd one out
// is zero.
void RowToBF16(const float* x, int64_t n, uint16_t* out);

void AddRow(const float* x, int64_t n, float* sum);

}  // namespace tlin

#endif  // TLIN_ENGINE_BACKEND_CPU_ROW_OPS_H_
