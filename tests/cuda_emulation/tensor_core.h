// Operations of a whole warp on matrices, in the register layouts of the PTX
// manual.
#ifndef TLIN_TESTS_CUDA_EMULATION_TENSOR_CORE_H_
#define TLIN_TESTS_CUDA_EMULATION_TENSOR_CORE_H_

#include <cstdint>

#include "tests/cuda_emulation/grid.h"

namespace cuda_emulation {

// mma.m16n8k16.row.col.f32.bf16.bf16.f32. Lane 4g + t has of a the elements
// (g or g + 8, 2t.. or 2t + 8..), of b (2t.. or 2t + 8.., g), of d (g or g + 8,
// 2t..). The sum runs over k in order, unlike the hardware's.
void MmaBf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
             const Location& at);

// ldmatrix.x4: to[m] has of matrix m the elements (g, 2t..), or of its
// transpose. The addresses are multiples of 16 bytes. Reads memory as the
// calling lane, so it is the kernel's own code.
inline void LoadMatrices(uint32_t (&to)[4], bool transposed, const void* row,
                         const Location& at) {
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0) {
    Fault("ldmatrix from an address that is no multiple of 16", at);
  }
  const auto* const rows = static_cast<const void* const*>(
      WarpExchange(~0u, &row, sizeof(row), /*orders_memory=*/false, at));
  const unsigned group = current_thread->lane / 4;
  const unsigned pair = current_thread->lane % 4;
  for (unsigned m = 0; m < 4; ++m) {
    uint16_t halves[2];
    for (unsigned i = 0; i < 2; ++i) {
      const unsigned from_row = transposed ? pair * 2 + i : group;
      const unsigned from_col = transposed ? group : pair * 2 + i;
      halves[i] =
          static_cast<const uint16_t*>(rows[m * 8 + from_row])[from_col];
    }
    to[m] = halves[0] | static_cast<uint32_t>(halves[1]) << 16;
  }
}

}  // namespace cuda_emulation

#endif  // TLIN_TESTS_CUDA_EMULATION_TENSOR_CORE_H_
