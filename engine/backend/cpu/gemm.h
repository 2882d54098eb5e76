// y = W x + b for many rows: how the work is cut for the workers. The
// arithmetic is in gemm_kernels, and does not depend on the cut.
#ifndef TLIN_ENGINE_BACKEND_CPU_GEMM_H_
#define TLIN_ENGINE_BACKEND_CPU_GEMM_H_

#include <cstdint>

#include "absl/types/span.h"
#include "engine/backend/cpu/gemm_kernels.h"
#include "engine/backend/cpu/packed_matrix.h"
#include "engine/backend/cpu/worker_pool.h"

namespace tlin {

// Rows in the form that the kernels read, one after the other in scratch memory
// that the backend owns.
struct PreparedRows {
  const uint32_t* data = nullptr;
  int64_t stride = 0;  // words
  int64_t rows = 0;
};

// Words from one prepared row to the next: an odd number of cache lines, so
// that the rows of a tile do not all fall on the same few sets of the cache.
int64_t PreparedStride(const GemmKernels& kernels, int64_t cols);

// One product of a call. Products of a call share their rows.
struct GemmOutput {
  const PackedMatrix* matrix = nullptr;
  float* y = nullptr;  // [rows, stride]
  int64_t stride = 0;  // floats, at least matrix->out()
  bool add = false;    // y += instead of y =
};

// Does not allocate.
void Multiply(const GemmKernels& kernels, PreparedRows rows,
              absl::Span<const GemmOutput> outputs, WorkerPool& pool);

}  // namespace tlin

#endif  // TLIN_ENGINE_BACKEND_CPU_GEMM_H_
