// Many queries of one head over one block of keys: 64 a thread block, 16 a
// warp. The warps share each tile of keys and values, so these are read a
// quarter as often as by BlockAttention. A query's sums have its order, too:
// the tiles of phase p (p, p + 4 and so on) make a partial, and the four
// partials the block's. So the bits are the same.
#ifndef TLIN_ENGINE_BACKEND_CUDA_ATTENTION_MANY_H_
#define TLIN_ENGINE_BACKEND_CUDA_ATTENTION_MANY_H_

#include "engine/backend/cuda/attention_block.h"
#include "engine/backend/cuda/attention_tile.h"
#include "engine/backend/cuda/kv_copy.h"

namespace tlin::cuda {

template <class T, int kHead>
class ManyAttention {
 public:
  using Tile = WarpTile<T, kHead>;
  static constexpr int kPhases = kAttendWarps;
  static constexpr int kWarpRows = Tile::kRows;
  static constexpr int kRows = kAttendWarps * kWarpRows;

  static constexpr size_t SharedBytes() {
    return kFloats * sizeof(float) +
           (kRows * Tile::kStride + 2 * kStageElements) * sizeof(T);
  }

  // All threads; so are the others'. `scale` includes kLog2E.
  __device__ ManyAttention(const HeadShape& shape, int head, float scale)
      : shape_(shape),
        head_(head),
        scale_(scale),
        floats_(gpu::DynamicShared<float>()),
        queries_(reinterpret_cast<T*>(floats_ + kFloats)),
        tiles_(queries_ + kRows * Tile::kStride) {
    const int padding = kHead - shape.head_size;
    for (int i = threadIdx.x; i < 4 * Tile::kKeys * padding;
         i += kAttendThreads) {
      tiles_[i / padding * Tile::kStride + shape.head_size + i % padding] =
          FromFloat<T>(0);
    }
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

  // The partials of all phases, over all keys of the block.
  __device__ void Attend(const KvBlock& block) {
    const int warp = threadIdx.x / 32;
    const int tiles = (block.rows + Tile::kKeys - 1) / Tile::kKeys;
    int stage = 0;
    Copy(block, 0, stage);
    for (int phase = 0; phase < kPhases; ++phase) {
      Tile tile(shape_.head_size, kWarpRows);
      tile.Reset();
      for (int i = phase; i < tiles; i += kPhases) {
        // The next one stays under way; where there is none, an empty group.
        const int next = i + kPhases < tiles ? i + kPhases : phase + 1;
        if (i + kPhases < tiles || (phase + 1 < kPhases && next < tiles)) {
          Copy(block, next * Tile::kKeys, 1 - stage);
        } else {
          gpu::CopyAsyncCommit();
        }
        gpu::CopyAsyncWait<1>();
        __syncthreads();
        const Sight sight = {block.rows, 0, block.rows};
        tile.Step(queries_ + warp * kWarpRows * Tile::kStride, Keys(stage),
                  Keys(stage) + kTileElements, scale_,
                  sight.After(i * Tile::kKeys), nullptr);
        __syncthreads();
        stage = 1 - stage;
      }
      tile.Store(Maxima(phase), Sums(phase), Values(phase));
    }
    __syncwarp();
  }

  // Into partials of `rows` queries (attention_ops.h).
  __device__ void Accumulate(int rows, float* partials) {
    const int floats = shape_.n_head * (2 + shape_.head_size);
    float* const first = partials + head_ * (2 + shape_.head_size) +
                         int64_t{FirstRow()} * floats;
    const int count = min(kWarpRows, rows - FirstRow());
    const int lane = threadIdx.x % 32;
    if (lane < count) {
      float* const total = first + int64_t{lane} * floats;
      const MergeFactors factors = MergeRow(lane, total[0], &total[1]);
      total[0] = factors.maximum;
    }
    __syncwarp();
    for (int i = lane; i < count * shape_.head_size; i += 32) {
      const int row = i / shape_.head_size;
      const int element = i % shape_.head_size;
      float* const total = first + int64_t{row} * floats + 2 + element;
      *total = MergeElement(row, element, *total);
    }
  }

  // out: f32 [rows, D], of the first query.
  __device__ void Finish(int rows, float* out) {
    const int count = min(kWarpRows, rows - FirstRow());
    const int lane = threadIdx.x % 32;
    if (lane < count) {
      float sum = 0;
      MergeRow(lane, -INFINITY, &sum);
      Sums(0)[lane] = sum;
    }
    __syncwarp();
    for (int i = lane; i < count * shape_.head_size; i += 32) {
      const int row = i / shape_.head_size;
      const int element = i % shape_.head_size;
      out[(FirstRow() + row) * shape_.width() + head_ * shape_.head_size +
          element] = MergeElement(row, element, 0) / Sums(0)[row];
    }
  }

 private:
  static constexpr int kTileElements = Tile::kKeys * Tile::kStride;
  static constexpr int kStageElements = 2 * kTileElements;
  // The phases' values, maxima and sums; what a merge leaves of both sides.
  static constexpr int kFloats = kPhases * kRows * (kHead + 2) + 2 * kRows;
  static_assert(kFloats % 4 == 0);

  // Of the warp, in the block.
  __device__ int FirstRow() const { return threadIdx.x / 32 * kWarpRows; }

  // The warp's own: [kWarpRows, kHead], [kWarpRows].
  __device__ float* Values(int phase) const {
    return floats_ + (phase * kRows + FirstRow()) * kHead;
  }
  __device__ float* Maxima(int phase) const {
    return floats_ + kPhases * kRows * kHead + phase * kRows + FirstRow();
  }
  __device__ float* Sums(int phase) const {
    return Maxima(phase) + kPhases * kRows;
  }
  __device__ float* TotalFactors() const {
    return floats_ + kPhases * kRows * (kHead + 2) + FirstRow();
  }
  __device__ float* BlockFactors() const { return TotalFactors() + kRows; }

  __device__ T* Keys(int stage) const {
    return tiles_ + stage * kStageElements;
  }
  __device__ void Copy(const KvBlock& block, int first, int stage) const {
    CopyTile<Tile>(shape_, head_, block, first, Keys(stage),
                   Keys(stage) + kTileElements, threadIdx.x, kAttendThreads);
  }

  // Of one of the warp's rows: the weights of its phases take their maxima's
  // place. As BlockAttention's MergeWarps.
  __device__ MergeFactors MergeRow(int row, float total_maximum, float* sum) {
    float maximum = -INFINITY;
    for (int phase = 0; phase < kPhases; ++phase) {
      maximum = fmaxf(maximum, Maxima(phase)[row]);
    }
    float block_sum = 0;
    for (int phase = 0; phase < kPhases; ++phase) {
      const float weight = Weight(Maxima(phase)[row], maximum);
      Maxima(phase)[row] = weight;
      block_sum = __fmaf_rn(Sums(phase)[row], weight, block_sum);
    }
    const MergeFactors factors = FactorsOf(total_maximum, maximum);
    TotalFactors()[row] = factors.total;
    BlockFactors()[row] = factors.block;
    *sum = Merge(factors, *sum, block_sum);
    return factors;
  }
  __device__ float MergeElement(int row, int element, float total) const {
    float value = 0;
    for (int phase = 0; phase < kPhases; ++phase) {
      value = __fmaf_rn(Values(phase)[row * kHead + element],
                        Maxima(phase)[row], value);
    }
    return Merge({0, TotalFactors()[row], BlockFactors()[row]}, total, value);
  }

  const HeadShape shape_;
  const int head_;
  const float scale_;
  float* const floats_;
  T* const queries_;
  T* const tiles_;  // two stages of keys and values
};

}  // namespace tlin::cuda

#endif  // TLIN_ENGINE_BACKEND_CUDA_ATTENTION_MANY_H_
