// Rotation, fused with the write into the sessions' blocks; and blocks to and
// from the order in which a state travels.
//
//   kernel   block      bytes a row (E = bytes of dtype)
//   Rotate   one a row  12 D read, 4 D + 2 D E written
//   ReadKv   one a row  2 D E read, 2 D E written; WriteKv the same
#include "engine/backend/cuda/element.h"
#include "engine/backend/cuda/kernels.h"
#include "engine/backend/cuda/kv_layout.h"

namespace tlin::cuda {
namespace {

constexpr int kThreads = 128;

// As the CPU backend's: the nearest multiple of pi/2 is taken off in double,
// what is left goes through Taylor polynomials. The angle is a float32 product.
__device__ void CosSin(float angle, float* cosine, float* sine) {
  constexpr double kTwoOverPi = 0.63661977236758134308;
  constexpr double kPiHalfHigh = 1.57079632673412561417;
  constexpr double kPiHalfLow = 6.07710050650619224932e-11;
  const double x = angle;
  const double n = rint(x * kTwoOverPi);
  const double r = (x - n * kPiHalfHigh) - n * kPiHalfLow;
  const double r2 = r * r;
  const double s =
      r + r * r2 *
              (-1.0 / 6 +
               r2 * (1.0 / 120 + r2 * (-1.0 / 5040 + r2 * (1.0 / 362880))));
  const double c =
      1.0 + r2 * (-0.5 + r2 * (1.0 / 24 + r2 * (-1.0 / 720 +
                                                r2 * (1.0 / 40320 +
                                                      r2 * (-1.0 / 3628800)))));
  // Quarter turns: swap on odd ones, signs by the half turn.
  const int quarter = static_cast<int>(n);
  const bool odd = (quarter & 1) != 0;
  const double turned_c = odd ? s : c;
  const double turned_s = odd ? c : s;
  *cosine = static_cast<float>(((quarter + 1) & 2) != 0 ? -turned_c : turned_c);
  *sine = static_cast<float>((quarter & 2) != 0 ? -turned_s : turned_s);
}

// Shared: cosines [head_size / 2], sines [head_size / 2].
template <class T>
__global__ void __launch_bounds__(kThreads)
    Rotate(HeadShape shape, const float* qkv, const int32_t* ids,
           const int32_t* positions, const float* frequencies, float* q,
           const KvRow* kv) {
  const int pairs = shape.head_size / 2;
  float* const cosines = gpu::DynamicShared<float>();
  float* const sines = cosines + pairs;
  const auto position = static_cast<float>(positions[blockIdx.x]);
  for (int i = threadIdx.x; i < pairs; i += kThreads) {
    CosSin(__fmul_rn(position, frequencies[i]), cosines + i, sines + i);
  }
  __syncthreads();

  const int width = shape.n_head * shape.head_size;
  const int64_t row = ids == nullptr ? blockIdx.x : ids[blockIdx.x];
  const float* const from_q = qkv + row * 3 * width;
  const float* const from_k = from_q + width;
  const float* const from_v = from_k + width;
  for (int i = threadIdx.x; i < width / 2; i += kThreads) {
    const int head = i / pairs;
    const int pair = i % pairs;
    const float cosine = cosines[pair];
    const float sine = sines[pair];
    const int at = 2 * i;
    if (q != nullptr) {
      float* const to = q + int64_t{blockIdx.x} * width + at;
      to[0] = from_q[at] * cosine - from_q[at + 1] * sine;
      to[1] = from_q[at] * sine + from_q[at + 1] * cosine;
    }
    if (kv == nullptr) continue;
    const KvRow place = kv[blockIdx.x];
    if (place.data == nullptr) continue;
    T* const key = reinterpret_cast<T*>(place.data) +
                   KeyIndex(shape, place.capacity, head, place.row) + 2 * pair;
    key[0] = FromFloat<T>(from_k[at] * cosine - from_k[at + 1] * sine);
    key[1] = FromFloat<T>(from_k[at] * sine + from_k[at + 1] * cosine);
    T* const value = key + ValueOffset(shape, place.capacity);
    value[0] = FromFloat<T>(from_v[at]);
    value[1] = FromFloat<T>(from_v[at + 1]);
  }
}

// Plain memory to the block, or the other way.
template <class T, bool kToBlock>
__global__ void __launch_bounds__(kThreads)
    MoveKv(HeadShape shape, KvBlock block, int first, T* plain) {
  const int width = shape.n_head * shape.head_size;
  const int row = static_cast<int>(blockIdx.x);
  T* const keys = plain + int64_t{row} * width;
  T* const values = keys + int64_t{gridDim.x} * width;
  for (int i = threadIdx.x; i < width; i += kThreads) {
    T* const key =
        reinterpret_cast<T*>(block.data) +
        KeyIndex(shape, block.capacity, i / shape.head_size, first + row) +
        i % shape.head_size;
    T* const value = key + ValueOffset(shape, block.capacity);
    if (kToBlock) {
      *key = keys[i];
      *value = values[i];
    } else {
      keys[i] = *key;
      values[i] = *value;
    }
  }
}

template <bool kToBlock>
cudaError_t LaunchMoveKv(DType dtype, const HeadShape& shape,
                         const KvBlock& block, int first, int rows, void* plain,
                         cudaStream_t stream) {
  if (dtype == DType::kF32) {
    return gpu::Launch(MoveKv<float, kToBlock>, rows, kThreads, 0, stream,
                       shape, block, first, static_cast<float*>(plain));
  }
  return gpu::Launch(MoveKv<Bf16, kToBlock>, rows, kThreads, 0, stream, shape,
                     block, first, static_cast<Bf16*>(plain));
}

}  // namespace

cudaError_t LaunchRotate(DType dtype, const HeadShape& shape, const float* qkv,
                         const int32_t* ids, const int32_t* positions, int rows,
                         const float* frequencies, float* q, const KvRow* kv,
                         cudaStream_t stream) {
  const size_t shared = shape.head_size * sizeof(float);
  const auto kernel = dtype == DType::kF32 ? Rotate<float> : Rotate<Bf16>;
  return gpu::Launch(kernel, rows, kThreads, shared, stream, shape, qkv, ids,
                     positions, frequencies, q, kv);
}

cudaError_t LaunchReadKv(DType dtype, const HeadShape& shape,
                         const KvBlock& block, int first, int rows, void* plain,
                         cudaStream_t stream) {
  return LaunchMoveKv<false>(dtype, shape, block, first, rows, plain, stream);
}

cudaError_t LaunchWriteKv(DType dtype, const HeadShape& shape,
                          const void* plain, int first, int rows,
                          const KvBlock& block, cudaStream_t stream) {
  return LaunchMoveKv<true>(dtype, shape, block, first, rows,
                            const_cast<void*>(plain), stream);
}

}  // namespace tlin::cuda
