// The inner loops of y = W x + b over packed panels, for each number format and
// instruction set. Every kernel adds the products of one output in one order,
// whatever the number of rows, so a row's result does not depend on the others.
#ifndef TLIN_ENGINE_BACKEND_CPU_GEMM_KERNELS_H_
#define TLIN_ENGINE_BACKEND_CPU_GEMM_KERNELS_H_

#include <cstddef>
#include <cstdint>

namespace tlin {

// Some rows times some neighbouring panels of one matrix.
struct GemmTask {
  const uint32_t* a = nullptr;  // prepared rows, `a_stride` words apart
  int64_t a_stride = 0;
  int64_t rows = 0;
  const std::byte* panels = nullptr;  // the first of them
  int64_t panel_bytes = 0;
  int64_t panel_count = 0;
  int64_t depth = 0;            // inputs
  const float* bias = nullptr;  // [panel_count * 32]
  float* y = nullptr;           // of the first row and first panel
  int64_t y_stride = 0;         // floats
  int64_t columns = 0;          // of y that exist, from the first panel on
  bool add = false;             // y += instead of y =
};

// While kPanels panels are multiplied the next ones come from memory to the
// second-level cache: with a handful of rows both take about as long. Not for
// one or two rows, where the processor's own prefetching keeps up. `pair` is
// the present pair of inputs in the first panel. Beyond the last panel this
// does no harm.
template <int64_t kPanels, int64_t kPairBytes>
inline void PrefetchPanels(const std::byte* pair, int64_t panel_bytes) {
  for (int64_t panel = kPanels; panel < 2 * kPanels; ++panel) {
    for (int64_t line = 0; line < kPairBytes; line += 64) {
      __builtin_prefetch(pair + panel * panel_bytes + line, /*rw=*/0,
                         /*locality=*/2);
    }
  }
}

struct GemmKernels {
  const char* name;
  int inputs_per_word;  // of a prepared row
  // Writes x[0 .. cols) as a prepared row of (cols + 1) / 2 * 2 inputs, the
  // last one 0 where cols is odd. Attention reads queries and weights so, too.
  void (*prepare)(const float* x, int64_t cols, uint32_t* row);
  void (*multiply)(const GemmTask& task);
};

// f32 panels; best vector instructions of this processor.
const GemmKernels& GemmF32();

// bf16 panels, products in f32: the row is rounded to bf16, and each pair of
// weights is widened by a shift and a mask. Runs everywhere.
const GemmKernels& GemmBf16();

// bf16 panels, by AVX512-BF16's dot product instruction. Gives GemmBf16's bits
// as long as nothing is subnormal. Null where the processor has no such
// instruction.
const GemmKernels* GemmBf16Dot();

// The faster of the two here; attention goes by it. A dot product instruction
// does twice the FLOP of an FMA; processors by AMD start one for each two FMAs
// (twice the speed), those by Intel one for each four (no gain, and half the
// speed in the end: they mean AMX to be used). Measured on Emerald Rapids,
// GFLOP/s a core at 256 rows: 88 by dot products, 150 by FMAs.
const GemmKernels& FastestGemmBf16();

}  // namespace tlin

#endif  // TLIN_ENGINE_BACKEND_CPU_GEMM_KERNELS_H_
