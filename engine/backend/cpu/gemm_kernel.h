// One panel of a packed matrix against some rows: see gemm.h for the layout.
#ifndef TLIN_ENGINE_BACKEND_CPU_GEMM_KERNEL_H_
#define TLIN_ENGINE_BACKEND_CPU_GEMM_KERNEL_H_

#include <cstddef>
#include <cstdint>

#include "engine/backend/dtype.h"

namespace tlin {

struct GemmPanel {
  const std::byte* weights = nullptr;  // aligned to 64 bytes
  const float* bias = nullptr;         // [64]
  int64_t steps = 0;
  DType dtype = DType::kF32;
};

// y[row][0 … 63] = bias + sum over the steps. `x_stride` in bytes, `y_stride`
// in floats. Dispatches to the best instruction set of this processor.
void RunPanelKernel(const GemmPanel& panel, const std::byte* x,
                    int64_t x_stride, int32_t rows, float* y, int64_t y_stride);

}  // namespace tlin

#endif  // TLIN_ENGINE_BACKEND_CPU_GEMM_KERNEL_H_
