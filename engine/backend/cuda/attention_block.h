// What a thread block does with some queries of one sequence and one head: it
// takes the keys of one KvBlock after the other. In each, warp w takes tiles w,
// w + 4 and so on; their four partials make the block's, which is merged into
// the total.
#ifndef TLIN_ENGINE_BACKEND_CUDA_ATTENTION_BLOCK_H_
#define TLIN_ENGINE_BACKEND_CUDA_ATTENTION_BLOCK_H_

#include "engine/backend/cuda/attention_ops.h"
#include "engine/backend/cuda/attention_tile.h"
#include "engine/backend/cuda/kv_copy.h"

namespace tlin::cuda {

inline constexpr int kAttendWarps = 4;
inline constexpr int kAttendThreads = 32 * kAttendWarps;

// Merges a block's partial into a total: how much of each stays.
struct MergeFactors {
  float maximum = 0;
  float total = 0;
  float block = 0;
};
__device__ __forceinline__ MergeFactors FactorsOf(float total_maximum,
                                                  float block_maximum) {
  const float maximum = fmaxf(total_maximum, block_maximum);
  return {maximum, Weight(total_maximum, maximum),
          Weight(block_maximum, maximum)};
}
__device__ __forceinline__ float Merge(const MergeFactors& factors, float total,
                                       float block) {
  return __fmaf_rn(block, factors.block, __fmul_rn(total, factors.total));
}

template <class T, int kHead>
class BlockAttention {
 public:
  using Tile = WarpTile<T, kHead>;
  static constexpr int kRows = Tile::kRows;

  static constexpr size_t SharedBytes() {
    return kFloats * sizeof(float) + kQueryBytes + kAttendWarps * kWarpBytes;
  }

  // All threads; so are the others'. `scale` includes kLog2E.
  __device__ BlockAttention(const HeadShape& shape, int head, float scale)
      : shape_(shape),
        head_(head),
        scale_(scale),
        floats_(gpu::DynamicShared<float>()),
        queries_(reinterpret_cast<T*>(floats_ + kFloats)),
        buffers_(reinterpret_cast<unsigned char*>(queries_) + kQueryBytes) {
    if (Tile::kPadded) ClearPadding();
  }

  // q: f32 [rows, D], of the first query.
  __device__ void LoadQueries(const float* q, int rows) {
    for (int i = threadIdx.x; i < kRows * kHead; i += kAttendThreads) {
      const int row = i / kHead;
      const int element = i % kHead;
      const bool there = row < rows && element < shape_.head_size;
      queries_[Tile::QueryIndex(row, element)] = FromFloat<T>(
          there ? q[row * shape_.width() + head_ * shape_.head_size + element]
                : 0.0f);
    }
    __syncthreads();
  }

  __device__ void Reset() {
    for (int i = threadIdx.x; i < kRows * kHead; i += kAttendThreads) {
      total()[i] = 0;
    }
    if (threadIdx.x < kRows) {
      total_maxima()[threadIdx.x] = -INFINITY;
      total_sums()[threadIdx.x] = 0;
    }
    __syncthreads();
  }

  // Over the keys that the last of `rows` queries sees.
  __device__ void Attend(const KvBlock& block, Sight sight, int rows) {
    const int warp = threadIdx.x / 32;
    const int visible = sight.Of(rows - 1);
    Tile tile(shape_.head_size, rows);
    tile.Reset();
    const int tiles = (visible + Tile::kKeys - 1) / Tile::kKeys;
    if (warp < tiles) Copy(block, warp * Tile::kKeys, 0);
    int stage = 0;
    for (int i = warp; i < tiles; i += kAttendWarps) {
      const int next = i + kAttendWarps;
      if (kStages == 1) {
        gpu::CopyAsyncWait<0>();
      } else {
        // The next one stays under way; where there is none, an empty group.
        if (next < tiles) {
          Copy(block, next * Tile::kKeys, 1 - stage);
        } else {
          gpu::CopyAsyncCommit();
        }
        gpu::CopyAsyncWait<1>();
      }
      __syncwarp();
      tile.Step(queries_, Keys(stage), Values(stage), scale_,
                sight.After(i * Tile::kKeys), Scratch(warp));
      __syncwarp();
      if (kStages == 2) {
        stage = 1 - stage;
      } else if (next < tiles) {
        Copy(block, next * Tile::kKeys, 0);
      }
    }
    __syncwarp();
    tile.Store(warp_maxima() + warp * kRows, warp_sums() + warp * kRows,
               WarpValues(warp));
    __syncthreads();
    MergeWarps();
  }

  // out: f32 [rows, D], of the first query; = or +=.
  __device__ void Finish(int rows, bool add, float* out) {
    for (int i = threadIdx.x; i < rows * shape_.head_size;
         i += kAttendThreads) {
      const int row = i / shape_.head_size;
      const int element = i % shape_.head_size;
      const float value = total()[row * kHead + element] / total_sums()[row];
      float* const to =
          out + row * shape_.width() + head_ * shape_.head_size + element;
      *to = add ? *to + value : value;
    }
    __syncthreads();
  }

  // To and from a query's partial (attention_ops.h).
  __device__ void StoreTotal(int row, float* partial) const {
    float* const to = partial + head_ * (2 + shape_.head_size);
    for (int i = threadIdx.x; i < shape_.head_size; i += kAttendThreads) {
      to[2 + i] = total()[row * kHead + i];
    }
    if (threadIdx.x == 0) {
      to[0] = total_maxima()[row];
      to[1] = total_sums()[row];
    }
  }
  __device__ void LoadTotal(int row, const float* partial) {
    const float* const from = partial + head_ * (2 + shape_.head_size);
    for (int i = threadIdx.x; i < shape_.head_size; i += kAttendThreads) {
      total()[row * kHead + i] = from[2 + i];
    }
    if (threadIdx.x == 0) {
      total_maxima()[row] = from[0];
      total_sums()[row] = from[1];
    }
  }

 private:
  // f32 has no room for two.
  static constexpr int kStages = sizeof(T) == 2 ? 2 : 1;
  static constexpr int kTileElements = Tile::kKeys * Tile::kStride;
  static constexpr int kQueryBytes =
      (Tile::kQueryElements * sizeof(T) + 15) / 16 * 16;
  static constexpr int kWarpBytes =
      (kStages * 2 * kTileElements * sizeof(T) + 15) / 16 * 16;
  // total; its maxima and sums; the warps'; the factors of a merge; scratch.
  static constexpr int kFloats =
      kRows * kHead + kRows * (2 + 2 * kAttendWarps + kAttendWarps + 2) +
      kAttendWarps * Tile::kScratchFloats;
  static_assert(kWarpBytes >= kRows * kHead * static_cast<int>(sizeof(float)));
  static_assert(kFloats % 4 == 0);

  __device__ float* total() const { return floats_; }  // [kRows, kHead]
  __device__ float* total_maxima() const { return floats_ + kRows * kHead; }
  __device__ float* total_sums() const { return total_maxima() + kRows; }
  // [kAttendWarps, kRows]
  __device__ float* warp_maxima() const { return total_sums() + kRows; }
  __device__ float* warp_sums() const {
    return warp_maxima() + kAttendWarps * kRows;
  }
  __device__ float* warp_weights() const {
    return warp_sums() + kAttendWarps * kRows;
  }
  __device__ float* total_factors() const {  // [kRows]
    return warp_weights() + kAttendWarps * kRows;
  }
  __device__ float* block_factors() const { return total_factors() + kRows; }

  __device__ float* Scratch(int warp) const {
    return block_factors() + kRows + warp * Tile::kScratchFloats;
  }

  __device__ T* Keys(int stage) const {
    return reinterpret_cast<T*>(buffers_ + threadIdx.x / 32 * kWarpBytes) +
           stage * 2 * kTileElements;
  }
  __device__ T* Values(int stage) const { return Keys(stage) + kTileElements; }
  // f32 [kRows, kHead], in the place of the warp's keys and values.
  __device__ float* WarpValues(int warp) const {
    return reinterpret_cast<float*>(buffers_ + warp * kWarpBytes);
  }

  // The warp's next keys and values, from `first` on.
  __device__ void Copy(const KvBlock& block, int first, int stage) {
    CopyTile<Tile>(shape_, head_, block, first, Keys(stage), Values(stage),
                   static_cast<int>(threadIdx.x) % 32, 32);
  }

  // After a barrier; ends with one.
  __device__ void MergeWarps() {
    if (threadIdx.x < kRows) {
      const int row = static_cast<int>(threadIdx.x);
      float maximum = -INFINITY;
      for (int warp = 0; warp < kAttendWarps; ++warp) {
        maximum = fmaxf(maximum, warp_maxima()[warp * kRows + row]);
      }
      float sum = 0;
      for (int warp = 0; warp < kAttendWarps; ++warp) {
        const float weight = Weight(warp_maxima()[warp * kRows + row], maximum);
        warp_weights()[warp * kRows + row] = weight;
        sum = __fmaf_rn(warp_sums()[warp * kRows + row], weight, sum);
      }
      const MergeFactors factors = FactorsOf(total_maxima()[row], maximum);
      total_factors()[row] = factors.total;
      block_factors()[row] = factors.block;
      total_maxima()[row] = factors.maximum;
      total_sums()[row] = Merge(factors, total_sums()[row], sum);
    }
    __syncthreads();
    for (int i = threadIdx.x; i < kRows * kHead; i += kAttendThreads) {
      const int row = i / kHead;
      if (i % kHead >= shape_.head_size) continue;
      float value = 0;
      for (int warp = 0; warp < kAttendWarps; ++warp) {
        value = __fmaf_rn(WarpValues(warp)[i],
                          warp_weights()[warp * kRows + row], value);
      }
      const MergeFactors factors = {0, total_factors()[row],
                                    block_factors()[row]};
      total()[i] = Merge(factors, total()[i], value);
    }
    __syncthreads();
    if (Tile::kPadded) {
      ClearPadding();
      __syncwarp();
    }
  }

  // Copies leave the elements beyond the head size as they are: zero, which
  // they are not where the weighted values lay.
  __device__ void ClearPadding() {
    const int padding = kHead - shape_.head_size;
    const int warp = threadIdx.x / 32;
    T* const rows = reinterpret_cast<T*>(buffers_ + warp * kWarpBytes);
    const int count = kStages * 2 * Tile::kKeys * padding;
    for (int i = threadIdx.x % 32; i < count; i += 32) {
      rows[i / padding * Tile::kStride + shape_.head_size + i % padding] =
          FromFloat<T>(0);
    }
  }

  const HeadShape shape_;
  const int head_;
  const float scale_;
  float* const floats_;
  T* const queries_;
  unsigned char* const buffers_;
};

}  // namespace tlin::cuda

#endif  // TLIN_ENGINE_BACKEND_CUDA_ATTENTION_BLOCK_H_
