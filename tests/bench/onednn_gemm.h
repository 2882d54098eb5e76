// oneDNN's product, the yardstick of ours: y = x W, with W packed once in the
// layout that oneDNN asks for. It runs on OpenMP's threads: all cores, unless
// OMP_NUM_THREADS says less.
#ifndef TLIN_TESTS_BENCH_ONEDNN_GEMM_H_
#define TLIN_TESTS_BENCH_ONEDNN_GEMM_H_

#include <cstdint>

#include "absl/types/span.h"
#include "dnnl.hpp"
#include "engine/backend/dtype.h"
#include "tests/bench/gemm_shapes.h"

namespace tlin {

class OneDnnGemm {
 public:
  // Below AVX-512 oneDNN has no bf16 product.
  static bool Supports(DType dtype);

  // Inputs are the same for the same shape: row i of x too, whatever `rows` is.
  // packed_for: the number of rows that the layout of W is chosen for.
  // REQUIRES: Supports(dtype).
  OneDnnGemm(DType dtype, const GemmShape& shape, int64_t rows,
             int64_t packed_for);
  OneDnnGemm(DType dtype, const GemmShape& shape, int64_t rows)
      : OneDnnGemm(dtype, shape, rows, rows) {}

  void Run();
  int64_t weight_bytes() const;
  absl::Span<const float> y() const;  // [rows, out]

 private:
  dnnl::engine engine_;
  dnnl::stream stream_;
  dnnl::memory x_, weight_, y_;
  dnnl::matmul product_;
  int64_t y_size_;
};

}  // namespace tlin

#endif  // TLIN_TESTS_BENCH_ONEDNN_GEMM_H_
