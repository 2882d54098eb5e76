// The CPU backend's product by itself, as OneDnnGemm is oneDNN's.
#ifndef TLIN_TESTS_BENCH_OWN_GEMM_H_
#define TLIN_TESTS_BENCH_OWN_GEMM_H_

#include <cstdint>
#include <vector>

#include "engine/backend/cpu/aligned_buffer.h"
#include "engine/backend/cpu/gemm.h"
#include "engine/backend/cpu/packed_matrix.h"
#include "engine/backend/cpu/worker_pool.h"
#include "tests/bench/gemm_shapes.h"

namespace tlin {

class OwnGemm {
 public:
  // `pool` must outlive the object.
  OwnGemm(DType dtype, const GemmShape& shape, int64_t rows, WorkerPool* pool);

  void Run();
  int64_t weight_bytes() const { return matrix_.bytes(); }

 private:
  const GemmKernels& kernels_;
  WorkerPool* const pool_;
  const PackedMatrix matrix_;
  AlignedBuffer prepared_;
  PreparedRows rows_;
  std::vector<float> y_;
};

}  // namespace tlin

#endif  // TLIN_TESTS_BENCH_OWN_GEMM_H_
