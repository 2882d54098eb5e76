// Where the elements of a block lie on a GPU: keys head by head, each head's
// rows one after the other, then the values in the same way. What a warp
// copies of one head is then contiguous.
#ifndef TLIN_ENGINE_BACKEND_CUDA_KV_LAYOUT_H_
#define TLIN_ENGINE_BACKEND_CUDA_KV_LAYOUT_H_

#include "engine/backend/cuda/kernels.h"
#include "gpu/device.h"

namespace tlin::cuda {

// Of element 0 of a head's key at `row`; its value's is width * rows further.
__device__ __forceinline__ int64_t KeyIndex(const HeadShape& shape,
                                            int32_t capacity, int32_t head,
                                            int32_t row) {
  return (head * KvBlockRows(capacity) + row) * shape.head_size;
}

// From a key's index to its value's.
__device__ __forceinline__ int64_t ValueOffset(const HeadShape& shape,
                                               int32_t capacity) {
  return shape.width() * KvBlockRows(capacity);
}

}  // namespace tlin::cuda

#endif  // TLIN_ENGINE_BACKEND_CUDA_KV_LAYOUT_H_
