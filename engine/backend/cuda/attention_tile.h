// What one warp does with some queries and a few keys of one head, both in
// shared memory: an online softmax. bf16 uses tensor cores, f32 does not.
//
// In shared memory keys and values are rows of kStride elements; a query's
// elements are where QueryIndex says. Where kPadded, those from the head size
// up to kHead are zero in all of them.
#ifndef TLIN_ENGINE_BACKEND_CUDA_ATTENTION_TILE_H_
#define TLIN_ENGINE_BACKEND_CUDA_ATTENTION_TILE_H_

#include <cmath>

#include "engine/backend/cuda/element.h"

namespace tlin::cuda {

// Scores are times this, so that weights are powers of two.
inline constexpr float kLog2E = 1.44269504088896340736f;

// A weight; 0 for a score that is not there, whatever the maximum.
__device__ __forceinline__ float Weight(float score, float maximum) {
  return score == -INFINITY ? 0.0f : exp2f(score - maximum);
}

// The first query sees `first` keys of those at hand, the next `step` more;
// there are no more than `limit`.
struct Sight {
  int first = 0;
  int step = 0;
  int limit = 0;
  __device__ __forceinline__ int Of(int row) const {
    return min(first + row * step, limit);
  }
  // Of what begins `keys` keys further on.
  __device__ __forceinline__ Sight After(int keys) const {
    return {first - keys, step, limit - keys};
  }
};

template <class T, int kHead>
class WarpTile;

// 4 queries, side by side: what a key or a value is multiplied by in all of
// them is one load, so that for 4 products there are 2 loads. A key a lane for
// the scores, an element of the head a lane for the values.
template <int kHead>
class WarpTile<float, kHead> {
 public:
  static constexpr int kRows = 4;
  static constexpr int kKeys = kHead <= 128 ? 32 : 16;
  // Odd, so that the lanes' rows begin in different banks.
  static constexpr int kStride = kHead + 1;
  static constexpr int kCopyBytes = 4;  // a row begins at any multiple of them
  static constexpr int kScratchFloats = kRows * kKeys;
  static constexpr int kQueryElements = kRows * kHead;
  static constexpr bool kPadded = false;
  __device__ static int QueryIndex(int row, int element) {
    return element * kRows + row;
  }

  __device__ WarpTile(int head_size, int rows)
      : head_size_(head_size), rows_(rows) {}

  __device__ void Reset() {
    for (int row = 0; row < kRows; ++row) {
      maximum_[row] = -INFINITY;
      sum_[row] = 0;
      for (int i = 0; i < kElements; ++i) values_[row][i] = 0;
    }
  }

  // Keys and values [kKeys]; scratch f32 [kKeys, kRows]. `scale` includes
  // kLog2E.
  __device__ void Step(const float* queries, const float* keys,
                       const float* values, float scale, Sight sight,
                       float* scratch) {
    const int lane = threadIdx.x % 32;
    float scores[kRows] = {};
    if (lane < kKeys) {
      for (int i = 0; i < head_size_; ++i) {
        AddTimes(Four(queries)[i], keys[lane * kStride + i], scores);
      }
    }
    float before[kRows] = {};
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      if (row >= rows_) break;
      const bool seen = lane < kKeys && lane < sight.Of(row);
      const float score = seen ? scores[row] * scale : -INFINITY;
      float maximum = score;
      for (int distance = 16; distance > 0; distance /= 2) {
        maximum = fmaxf(maximum, __shfl_xor_sync(~0u, maximum, distance));
      }
      maximum = fmaxf(maximum, maximum_[row]);
      scores[row] = Weight(score, maximum);
      float sum = scores[row];
      for (int distance = 16; distance > 0; distance /= 2) {
        sum += __shfl_xor_sync(~0u, sum, distance);
      }
      before[row] = Weight(maximum_[row], maximum);
      maximum_[row] = maximum;
      sum_[row] = __fmaf_rn(sum_[row], before[row], sum);
    }
    if (lane < kKeys) {
      reinterpret_cast<float4*>(scratch)[lane] =
          make_float4(scores[0], scores[1], scores[2], scores[3]);
    }
    __syncwarp();
#pragma unroll
    for (int i = 0; i < kElements; ++i) {
      const int element = lane + 32 * i;
      if (element >= head_size_) continue;
      float weighted[kRows];
#pragma unroll
      for (int row = 0; row < kRows; ++row) {
        weighted[row] = values_[row][i] * before[row];
      }
      for (int key = 0; key < kKeys; ++key) {
        AddTimes(Four(scratch)[key], values[key * kStride + element], weighted);
      }
#pragma unroll
      for (int row = 0; row < kRows; ++row) values_[row][i] = weighted[row];
    }
  }

  // maxima and sums [kRows], weighted [kRows, kHead], up to the head size.
  __device__ void Store(float* maxima, float* sums, float* weighted) const {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      if (lane == 0) {
        maxima[row] = maximum_[row];
        sums[row] = sum_[row];
      }
      for (int i = 0; i < kElements; ++i) {
        const int element = lane + 32 * i;
        if (element < head_size_) {
          weighted[row * kHead + element] = values_[row][i];
        }
      }
    }
  }

 private:
  static constexpr int kElements = (kHead + 31) / 32;
  static_assert(kRows == 4);

  // A row's number at each of several places: [.., kRows].
  __device__ static const float4* Four(const float* rows) {
    return reinterpret_cast<const float4*>(rows);
  }
  __device__ static void AddTimes(const float4& of_rows, float value,
                                  float (&sums)[kRows]) {
    sums[0] = __fmaf_rn(of_rows.x, value, sums[0]);
    sums[1] = __fmaf_rn(of_rows.y, value, sums[1]);
    sums[2] = __fmaf_rn(of_rows.z, value, sums[2]);
    sums[3] = __fmaf_rn(of_rows.w, value, sums[3]);
  }

  const int head_size_;
  const int rows_;  // queries that are there; the others' numbers are any
  float maximum_[kRows];
  float sum_[kRows];
  float values_[kRows][kElements];
};

// 16 queries by mma.m16n8k16. Lane 4 g + t has of each product the rows g and
// g + 8; four lanes share a row.
template <int kHead>
class WarpTile<Bf16, kHead> {
 public:
  static constexpr int kRows = 16;
  static constexpr int kKeys = kHead <= 128 ? 32 : 16;
  // A multiple of 16 bytes, for ldmatrix, but none of 128: the rows of a matrix
  // begin in different banks.
  static constexpr int kStride = kHead + 8;
  static constexpr int kCopyBytes = 16;
  static constexpr int kScratchFloats = 0;
  static constexpr int kQueryElements = kRows * kStride;
  static constexpr bool kPadded = true;
  // Of any number of queries, tile after tile.
  __device__ static int QueryIndex(int row, int element) {
    return row * kStride + element;
  }

  __device__ WarpTile(int /*head_size*/, int /*rows*/) {}

  __device__ void Reset() {
    for (int half = 0; half < 2; ++half) {
      maximum_[half] = -INFINITY;
      sum_[half] = 0;
    }
    for (int n = 0; n < kHead / 8; ++n) {
      for (int i = 0; i < 4; ++i) values_[n][i] = 0;
    }
  }

  __device__ void Step(const Bf16* queries, const Bf16* keys,
                       const Bf16* values, float scale, Sight sight,
                       float* /*scratch*/) {
    float scores[kKeys / 8][4];
    Score(queries, keys, scores);
    const int lane = threadIdx.x % 32;
    float before[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int sees = sight.Of(lane / 4 + 8 * half);
      float maximum = maximum_[half];
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
        for (int i = 2 * half; i < 2 * half + 2; ++i) {
          const int key = n * 8 + lane % 4 * 2 + i % 2;
          scores[n][i] = key < sees ? scores[n][i] * scale : -INFINITY;
          maximum = fmaxf(maximum, scores[n][i]);
        }
      }
      maximum = fmaxf(maximum, __shfl_xor_sync(~0u, maximum, 1));
      maximum = fmaxf(maximum, __shfl_xor_sync(~0u, maximum, 2));
      before[half] = Weight(maximum_[half], maximum);
      maximum_[half] = maximum;
      float sum = 0;
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
        for (int i = 2 * half; i < 2 * half + 2; ++i) {
          scores[n][i] = Weight(scores[n][i], maximum);
          sum += scores[n][i];
        }
      }
      sum += __shfl_xor_sync(~0u, sum, 1);
      sum += __shfl_xor_sync(~0u, sum, 2);
      sum_[half] = __fmaf_rn(sum_[half], before[half], sum);
    }
#pragma unroll
    for (int n = 0; n < kHead / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) values_[n][i] *= before[i / 2];
    }
    AddValues(scores, values);
  }

  __device__ void Store(float* maxima, float* sums, float* weighted) const {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = lane / 4 + 8 * half;
      if (lane % 4 == 0) {
        maxima[row] = maximum_[half];
        sums[row] = sum_[half];
      }
#pragma unroll
      for (int n = 0; n < kHead / 8; ++n) {
        float* const to = weighted + row * kHead + n * 8 + lane % 4 * 2;
        to[0] = values_[n][2 * half];
        to[1] = values_[n][2 * half + 1];
      }
    }
  }

 private:
  // scores = queries keys^T
  __device__ static void Score(const Bf16* queries, const Bf16* keys,
                               float (&scores)[kKeys / 8][4]) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) scores[n][i] = 0;
    }
#pragma unroll
    for (int k = 0; k < kHead; k += 16) {
      uint32_t a[4];
      gpu::LoadMatrices(a, queries + lane % 16 * kStride + k + lane / 16 * 8);
#pragma unroll
      for (int n = 0; n < kKeys / 8; n += 2) {
        // Keys 8 n.. and 8 n + 8.., elements k.. and k + 8.. of each.
        uint32_t b[4];
        gpu::LoadMatrices(b, keys +
                                 (n * 8 + lane / 16 * 8 + lane % 8) * kStride +
                                 k + lane / 8 % 2 * 8);
        const uint32_t first[2] = {b[0], b[1]};
        const uint32_t second[2] = {b[2], b[3]};
        gpu::MmaBf16(scores[n], a, first);
        gpu::MmaBf16(scores[n + 1], a, second);
      }
    }
  }

  // values_ += weights values. The weights lie as a product's result, which is
  // how its next left side has to lie.
  __device__ void AddValues(const float (&weights)[kKeys / 8][4],
                            const Bf16* values) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int k = 0; k < kKeys; k += 16) {
      const float(&low)[4] = weights[k / 8];
      const float(&high)[4] = weights[k / 8 + 1];
      const uint32_t a[4] = {Pair(low[0], low[1]), Pair(low[2], low[3]),
                             Pair(high[0], high[1]), Pair(high[2], high[3])};
#pragma unroll
      for (int n = 0; n < kHead / 8; n += 2) {
        // Elements 8 n.. and 8 n + 8.. of keys k.. and k + 8..
        uint32_t b[4];
        gpu::LoadMatricesTransposed(
            b, values + (k + lane % 16) * kStride + n * 8 + lane / 16 * 8);
        const uint32_t first[2] = {b[0], b[1]};
        const uint32_t second[2] = {b[2], b[3]};
        gpu::MmaBf16(values_[n], a, first);
        gpu::MmaBf16(values_[n + 1], a, second);
      }
    }
  }

  __device__ static uint32_t Pair(float low, float high) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<const uint32_t*>(&pair);
  }

  float maximum_[2];
  float sum_[2];
  float values_[kHead / 8][4];
};

}  // namespace tlin::cuda

#endif  // TLIN_ENGINE_BACKEND_CUDA_ATTENTION_TILE_H_
