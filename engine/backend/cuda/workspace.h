// How much memory the CUDA backend's scratch takes: closed forms of its shape.
#ifndef TLIN_ENGINE_BACKEND_CUDA_WORKSPACE_H_
#define TLIN_ENGINE_BACKEND_CUDA_WORKSPACE_H_

#include <cstdint>

#include "engine/backend/backend.h"
#include "engine/backend/dtype.h"

namespace tlin::cuda {

// Rows of a block that are on their way to or from the host at once.
inline constexpr int32_t kTransferRows = 256;

// Bytes of device memory.
struct WorkspaceSizes {
  // Of each of two lanes.
  int64_t arguments = 0;
  int64_t prepared = 0;
  int64_t wide = 0;
  int64_t products = 0;  // cuBLASLt's
  // Of a recorded step: arrays with an element a row, and lists, of which
  // sampling's are sample_lists.
  int64_t decode_arrays = 0;
  int64_t decode_lists = 0;
  int64_t sample_lists = 0;
  int64_t logits = 0;
  int64_t kv_rows = 0;
  int64_t block_scratch = 0;
  int64_t frequencies = 0;

  int64_t total() const {
    return 2 * (arguments + prepared + wide + products) + decode_arrays +
           decode_lists + logits + kv_rows + block_scratch + frequencies;
  }
};

WorkspaceSizes MakeWorkspaceSizes(DType dtype, const BackendShape& shape);

}  // namespace tlin::cuda

#endif  // TLIN_ENGINE_BACKEND_CUDA_WORKSPACE_H_
