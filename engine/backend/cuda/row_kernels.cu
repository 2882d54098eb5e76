// Work on rows of activations. All of it waits for memory: a row is read once
// or twice and written once.
//
//   kernel     block           bytes a row (f32 in, E = bytes of dtype out)
//   Gather     one a row       D (E + 4)
//   LayerNorm  one a row       D (4 + E), twice more from the cache
//   Prepare    one a row       D (4 + E)
//   SwiGlu     one a row       F (8 + E)
#include <cmath>

#include "engine/backend/cuda/element.h"
#include "engine/backend/cuda/kernels.h"

namespace tlin::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / 32;
constexpr float kEpsilon = 1e-5f;  // MODEL: "Pieces"

template <class T>
__global__ void __launch_bounds__(kThreads)
    Gather(const T* table, int64_t stride, const int32_t* ids, int cols,
           float* x) {
  const T* const from = table + ids[blockIdx.x] * stride;
  float* const to = x + int64_t{blockIdx.x} * cols;
  for (int i = threadIdx.x; i < cols; i += kThreads) to[i] = ToFloat(from[i]);
}

// Of all threads of the block, to all of them, in one order. `scratch` has
// kWarps floats and is free again after the next barrier.
__device__ float BlockSum(float value, float* scratch) {
  for (int distance = 16; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(~0u, value, distance);
  }
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = value;
  __syncthreads();
  float sum = 0;
  for (int warp = 0; warp < kWarps; ++warp) sum += scratch[warp];
  return sum;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    LayerNorm(const float* x, const int32_t* indices, const float* norm,
              int cols, T* prepared, int64_t stride) {
  float* const scratch = gpu::DynamicShared<float>();
  const int64_t row = indices == nullptr ? blockIdx.x : indices[blockIdx.x];
  const float* const from = x + row * cols;
  T* const to = prepared + blockIdx.x * stride;
  float sum = 0;
  for (int i = threadIdx.x; i < cols; i += kThreads) sum += from[i];
  const float mean = BlockSum(sum, scratch) / static_cast<float>(cols);
  float squares = 0;
  for (int i = threadIdx.x; i < cols; i += kThreads) {
    const float distance = from[i] - mean;
    squares += distance * distance;
  }
  const float variance =
      BlockSum(squares, scratch + kWarps) / static_cast<float>(cols);
  const float scale = 1.0f / sqrtf(variance + kEpsilon);
  for (int i = threadIdx.x; i < cols; i += kThreads) {
    to[i] = FromFloat<T>((from[i] - mean) * scale * norm[i] + norm[cols + i]);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    Prepare(const float* x, int cols, T* prepared, int64_t stride) {
  const float* const from = x + int64_t{blockIdx.x} * cols;
  T* const to = prepared + blockIdx.x * stride;
  for (int i = threadIdx.x; i < cols; i += kThreads) {
    to[i] = FromFloat<T>(from[i]);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    SwiGlu(const float* gate_up, int ffn, T* prepared, int64_t stride) {
  const float* const gate = gate_up + int64_t{blockIdx.x} * 2 * ffn;
  const float* const up = gate + ffn;
  T* const to = prepared + blockIdx.x * stride;
  for (int i = threadIdx.x; i < ffn; i += kThreads) {
    const float silu = gate[i] / (1.0f + expf(-gate[i]));
    to[i] = FromFloat<T>(silu * up[i]);
  }
}

}  // namespace

cudaError_t LaunchGather(DType dtype, const void* table, int64_t stride,
                         const int32_t* ids, int rows, int cols, float* x,
                         cudaStream_t stream) {
  if (dtype == DType::kF32) {
    return gpu::Launch(Gather<float>, rows, kThreads, 0, stream,
                       static_cast<const float*>(table), stride, ids, cols, x);
  }
  return gpu::Launch(Gather<Bf16>, rows, kThreads, 0, stream,
                     static_cast<const Bf16*>(table), stride, ids, cols, x);
}

cudaError_t LaunchLayerNorm(DType dtype, const float* x, const int32_t* indices,
                            const float* norm, int rows, int cols,
                            void* prepared, int64_t stride,
                            cudaStream_t stream) {
  constexpr size_t kShared = 2 * kWarps * sizeof(float);
  if (dtype == DType::kF32) {
    return gpu::Launch(LayerNorm<float>, rows, kThreads, kShared, stream, x,
                       indices, norm, cols, static_cast<float*>(prepared),
                       stride);
  }
  return gpu::Launch(LayerNorm<Bf16>, rows, kThreads, kShared, stream, x,
                     indices, norm, cols, static_cast<Bf16*>(prepared), stride);
}

cudaError_t LaunchPrepare(DType dtype, const float* x, int rows, int cols,
                          void* prepared, int64_t stride, cudaStream_t stream) {
  if (dtype == DType::kF32) {
    return gpu::Launch(Prepare<float>, rows, kThreads, 0, stream, x, cols,
                       static_cast<float*>(prepared), stride);
  }
  return gpu::Launch(Prepare<Bf16>, rows, kThreads, 0, stream, x, cols,
                     static_cast<Bf16*>(prepared), stride);
}

cudaError_t LaunchSwiGlu(DType dtype, const float* gate_up, int rows, int ffn,
                         void* prepared, int64_t stride, cudaStream_t stream) {
  if (dtype == DType::kF32) {
    return gpu::Launch(SwiGlu<float>, rows, kThreads, 0, stream, gate_up, ffn,
                       static_cast<float*>(prepared), stride);
  }
  return gpu::Launch(SwiGlu<Bf16>, rows, kThreads, 0, stream, gate_up, ffn,
                     static_cast<Bf16*>(prepared), stride);
}

}  // namespace tlin::cuda
