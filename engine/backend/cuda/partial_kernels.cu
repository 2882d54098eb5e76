// Partials of attention: reset, finish, and between a ring and plain rows. A
// thread block has one query's: 4 H (2 + head size) bytes read or written, or
// both.
#include <cmath>

#include "engine/backend/cuda/attention_ops.h"
#include "gpu/device.h"

namespace tlin::cuda {
namespace {

constexpr int kThreads = 128;

__global__ void __launch_bounds__(kThreads)
    ResetPartials(int floats, int stride, float* partials) {
  float* const partial = partials + int64_t{blockIdx.x} * floats;
  for (int i = threadIdx.x; i < floats; i += kThreads) {
    partial[i] = i % stride == 0 ? -INFINITY : 0.0f;
  }
}

template <bool kAdd>
__global__ void __launch_bounds__(kThreads)
    FinishPartials(HeadShape shape, const float* partials, float* out) {
  const int stride = 2 + shape.head_size;
  const int width = shape.n_head * shape.head_size;
  const float* const partial =
      partials + int64_t{blockIdx.x} * shape.n_head * stride;
  float* const to = out + int64_t{blockIdx.x} * width;
  for (int i = threadIdx.x; i < width; i += kThreads) {
    const float* const head = partial + i / shape.head_size * stride;
    const float value = head[2 + i % shape.head_size] / head[1];
    to[i] = kAdd ? to[i] + value : value;
  }
}

// Where queries share a row of the ring the last one's stays: earlier ones are
// not written.
template <bool kToRing>
__global__ void __launch_bounds__(kThreads)
    MoveRing(float* ring, int ring_rows, int first, int rows, int floats,
             float* partials) {
  const int row = static_cast<int>(blockIdx.x);
  if (kToRing && row + ring_rows < rows) return;
  float* const in_ring = ring + int64_t{(first + row) % ring_rows} * floats;
  float* const plain = partials + int64_t{row} * floats;
  for (int i = threadIdx.x; i < floats; i += kThreads) {
    if (kToRing) {
      in_ring[i] = plain[i];
    } else {
      plain[i] = in_ring[i];
    }
  }
}

}  // namespace

cudaError_t LaunchResetPartials(const HeadShape& shape, int32_t rows,
                                float* partials, cudaStream_t stream) {
  return gpu::Launch(ResetPartials, rows, kThreads, 0, stream,
                     static_cast<int>(PartialFloats(shape)),
                     2 + shape.head_size, partials);
}

cudaError_t LaunchFinishPartials(const HeadShape& shape, int32_t rows,
                                 const float* partials, bool add, float* out,
                                 cudaStream_t stream) {
  const auto kernel = add ? FinishPartials<true> : FinishPartials<false>;
  return gpu::Launch(kernel, rows, kThreads, 0, stream, shape, partials, out);
}

cudaError_t LaunchMoveRing(const HeadShape& shape, float* ring,
                           int32_t ring_rows, int32_t first, int32_t rows,
                           float* partials, bool to_ring, cudaStream_t stream) {
  const auto kernel = to_ring ? MoveRing<true> : MoveRing<false>;
  return gpu::Launch(kernel, rows, kThreads, 0, stream, ring, ring_rows, first,
                     rows, static_cast<int>(PartialFloats(shape)), partials);
}

}  // namespace tlin::cuda
