// Attention. A thread block has up to 16 (f32: 4) queries of one sequence and
// one head, and reads that head's keys and values once: 2 E head_size bytes a
// key (E = bytes of dtype), for 4 head_size FLOPs a key and query.
//
//   kernel             grid                      besides
//   AttendWindow       tiles, heads              q 4 B, out 4 B an element
//   AttendBlocks       tiles, heads, splits      a partial a block and query
//   MergeBlocks        tiles, heads              reads them
//   AttendOneBlock     queries / 16, heads       q, out; or partials, twice
//   AttendManyQueries  queries / 64, heads       the same; keys for 64 queries
//
// One sequence that decodes reads a window and a history, so it waits for
// memory: the 15 queries that a tensor core computes for nothing cost nothing.
#ifndef TLIN_ENGINE_BACKEND_CUDA_ATTENTION_KERNELS_H_
#define TLIN_ENGINE_BACKEND_CUDA_ATTENTION_KERNELS_H_

#include <cmath>
#include <type_traits>

#include "engine/backend/cuda/attention_block.h"
#include "engine/backend/cuda/attention_many.h"
#include "engine/backend/cuda/attention_ops.h"

namespace tlin::cuda {

__device__ __forceinline__ Sight SightOf(const AttendPart& part,
                                         const AttendTile& tile,
                                         const AttendBlock& block,
                                         bool in_window) {
  const int rows = block.block.rows;
  if (!in_window) return {rows, 0, rows};
  return {part.window_offset + tile.first + 1 - block.keys_before, 1, rows};
}

// Where the partial of a query is carried; null: a later one's stays.
__device__ __forceinline__ float* Carried(const HeadShape& shape,
                                          const AttendPart& part, int row) {
  if (row + part.ring_rows < part.rows) return nullptr;
  const int64_t at = (part.first_query + row) % part.ring_rows;
  return part.carry + at * shape.n_head * (2 + shape.head_size);
}

template <class T, int kHead>
__global__ void __launch_bounds__(kAttendThreads, 1)
    AttendWindow(HeadShape shape, float scale, const float* q,
                 AttendArrays arrays, float* out) {
  const AttendTile tile = arrays.tiles[blockIdx.x];
  if (tile.rows == 0) return;
  const AttendPart part = arrays.parts[tile.part];
  const int64_t first_row = part.first_row + tile.first;
  BlockAttention<T, kHead> attention(shape, static_cast<int>(blockIdx.y),
                                     scale);
  attention.LoadQueries(q + first_row * shape.width(), tile.rows);
  attention.Reset();
  for (int i = 0; i < part.window_end; ++i) {
    const AttendBlock block = part.blocks[i];
    const Sight sight = SightOf(part, tile, block, /*in_window=*/true);
    if (sight.Of(tile.rows - 1) <= 0) continue;
    attention.Attend(block.block, sight, tile.rows);
  }
  attention.Finish(tile.rows, /*add=*/false, out + first_row * shape.width());
  if (part.window_end == part.history_end) return;
  attention.Reset();
  for (int i = part.window_end; i < part.history_end; ++i) {
    const AttendBlock block = part.blocks[i];
    attention.Attend(block.block,
                     SightOf(part, tile, block, /*in_window=*/false),
                     tile.rows);
    if (i + 1 != part.window_end + part.carried_blocks) continue;
    for (int row = 0; row < tile.rows; ++row) {
      float* const carried = Carried(shape, part, tile.first + row);
      if (carried != nullptr) attention.StoreTotal(row, carried);
    }
    __syncthreads();
  }
  attention.Finish(tile.rows, /*add=*/true, out + first_row * shape.width());
}

// Scratch: of each part, block by block, its rows' partials.
__device__ __forceinline__ int64_t ScratchRow(const AttendPart& part, int block,
                                              int row) {
  return part.scratch_begin + int64_t{block} * part.rows + row;
}

template <class T, int kHead>
__global__ void __launch_bounds__(kAttendThreads, 1)
    AttendBlocks(HeadShape shape, float scale, const float* q,
                 AttendArrays arrays, float* scratch) {
  const AttendTile tile = arrays.tiles[blockIdx.x];
  if (tile.rows == 0) return;
  const AttendPart part = arrays.parts[tile.part];
  const int64_t first_row = part.first_row + tile.first;
  BlockAttention<T, kHead> attention(shape, static_cast<int>(blockIdx.y),
                                     scale);
  attention.LoadQueries(q + first_row * shape.width(), tile.rows);
  for (int i = static_cast<int>(blockIdx.z); i < part.history_end;
       i += static_cast<int>(gridDim.z)) {
    const AttendBlock block = part.blocks[i];
    const Sight sight = SightOf(part, tile, block, i < part.window_end);
    attention.Reset();
    if (sight.Of(tile.rows - 1) > 0) {
      attention.Attend(block.block, sight, tile.rows);
    }
    for (int row = 0; row < tile.rows; ++row) {
      attention.StoreTotal(
          row, scratch + ScratchRow(part, i, tile.first + row) * shape.n_head *
                             (2 + shape.head_size));
    }
    __syncthreads();
  }
}

// A thread merges one element of one query, over all blocks in their order.
template <class T>
__global__ void __launch_bounds__(kAttendThreads, 1)
    MergeBlocks(HeadShape shape, AttendArrays arrays, const float* scratch,
                float* out) {
  const AttendTile tile = arrays.tiles[blockIdx.x];
  const AttendPart part = arrays.parts[tile.part];
  const int head = static_cast<int>(blockIdx.y);
  const int of_head = 2 + shape.head_size;
  const int floats = shape.n_head * of_head;
  for (int at = threadIdx.x; at < tile.rows * shape.head_size;
       at += kAttendThreads) {
    const int row = tile.first + at / shape.head_size;
    const int element = at % shape.head_size;
    float result = 0;
    for (int segment = 0; segment < 2; ++segment) {
      const int begin = segment == 0 ? 0 : part.window_end;
      const int end = segment == 0 ? part.window_end : part.history_end;
      if (begin == end) continue;
      float maximum = -INFINITY;
      float sum = 0;
      float value = 0;
      for (int i = begin; i < end; ++i) {
        const float* const partial =
            scratch + ScratchRow(part, i, row) * floats + head * of_head;
        const MergeFactors factors = FactorsOf(maximum, partial[0]);
        maximum = factors.maximum;
        sum = Merge(factors, sum, partial[1]);
        value = Merge(factors, value, partial[2 + element]);
        if (segment == 0 || i + 1 != begin + part.carried_blocks) continue;
        float* const carried = Carried(shape, part, row);
        if (carried == nullptr) continue;
        float* const to = carried + head * of_head;
        to[2 + element] = value;
        if (element == 0) {
          to[0] = maximum;
          to[1] = sum;
        }
      }
      const float attended = value / sum;
      result = segment == 0 ? attended : result + attended;
    }
    out[(int64_t{part.first_row} + row) * shape.width() +
        head * shape.head_size + element] = result;
  }
}

template <class T, int kHead, bool kAccumulate>
__global__ void __launch_bounds__(kAttendThreads, 1)
    AttendOneBlock(HeadShape shape, float scale, const float* q, int rows,
                   KvBlock keys, float* to) {
  using Attention = BlockAttention<T, kHead>;
  const int first = static_cast<int>(blockIdx.x) * Attention::kRows;
  const int count = min(Attention::kRows, rows - first);
  const int64_t floats = int64_t{shape.n_head} * (2 + shape.head_size);
  Attention attention(shape, static_cast<int>(blockIdx.y), scale);
  attention.LoadQueries(q + first * shape.width(), count);
  attention.Reset();
  if (kAccumulate) {
    for (int row = 0; row < count; ++row) {
      attention.LoadTotal(row, to + (first + row) * floats);
    }
    __syncthreads();
  }
  attention.Attend(keys, {keys.rows, 0, keys.rows}, count);
  if (kAccumulate) {
    for (int row = 0; row < count; ++row) {
      attention.StoreTotal(row, to + (first + row) * floats);
    }
  } else {
    attention.Finish(count, /*add=*/false, to + first * shape.width());
  }
}

template <class T, int kHead, bool kAccumulate>
__global__ void __launch_bounds__(kAttendThreads, 1)
    AttendManyQueries(HeadShape shape, float scale, const float* q, int rows,
                      KvBlock keys, float* to) {
  using Attention = ManyAttention<T, kHead>;
  const int first = static_cast<int>(blockIdx.x) * Attention::kRows;
  const int count = min(Attention::kRows, rows - first);
  Attention attention(shape, static_cast<int>(blockIdx.y), scale);
  attention.LoadQueries(q + first * shape.width(), count);
  attention.Attend(keys);
  if (kAccumulate) {
    attention.Accumulate(
        count, to + int64_t{first} * shape.n_head * (2 + shape.head_size));
  } else {
    attention.Finish(count, to + first * shape.width());
  }
}

// Rather than fewer queries at once: where there are thread blocks enough for
// a GPU's processors all the same.
inline constexpr int kManyBlocks = 96;

// Whether there is a kernel for many queries: tensor cores, and room for its
// partials in shared memory.
template <class T, int kHead>
inline constexpr bool kHasMany = sizeof(T) == 2 && kHead <= 128;

// The launchers of one dtype. WithHead()(head_size, run) calls run(size) with
// the smallest of the padded head sizes that holds it.
template <class T, class WithHead>
class AttentionLaunchers {
 public:
  static cudaError_t Prepare(const HeadShape& shape) {
    return WithHead()(shape.head_size, [](auto head) {
      constexpr int kHead = decltype(head)::value;
      const cudaError_t error = AllowShared(
          BlockAttention<T, kHead>::SharedBytes(), AttendWindow<T, kHead>,
          AttendBlocks<T, kHead>, AttendOneBlock<T, kHead, false>,
          AttendOneBlock<T, kHead, true>);
      if constexpr (kHasMany<T, kHead>) {
        if (error != cudaSuccess) return error;
        return AllowShared(ManyAttention<T, kHead>::SharedBytes(),
                           AttendManyQueries<T, kHead, false>,
                           AttendManyQueries<T, kHead, true>);
      } else {
        return error;
      }
    });
  }

  static cudaError_t Window(const HeadShape& shape, const float* q,
                            const AttendArrays& arrays, float* out,
                            cudaStream_t stream) {
    return WithHead()(shape.head_size, [&](auto head) {
      constexpr int kHead = decltype(head)::value;
      return gpu::Launch(AttendWindow<T, kHead>,
                         dim3(arrays.tile_count, shape.n_head), kAttendThreads,
                         BlockAttention<T, kHead>::SharedBytes(), stream, shape,
                         ScaleOf(shape), q, arrays, out);
    });
  }

  static cudaError_t WindowSplit(const HeadShape& shape, const float* q,
                                 const AttendArrays& arrays, int32_t splits,
                                 float* scratch, float* out,
                                 cudaStream_t stream) {
    const cudaError_t attended = WithHead()(shape.head_size, [&](auto head) {
      constexpr int kHead = decltype(head)::value;
      return gpu::Launch(
          AttendBlocks<T, kHead>, dim3(arrays.tile_count, shape.n_head, splits),
          kAttendThreads, BlockAttention<T, kHead>::SharedBytes(), stream,
          shape, ScaleOf(shape), q, arrays, scratch);
    });
    if (attended != cudaSuccess) return attended;
    return gpu::Launch(MergeBlocks<T>, dim3(arrays.tile_count, shape.n_head),
                       kAttendThreads, 0, stream, shape, arrays, scratch, out);
  }

  template <bool kAccumulate>
  static cudaError_t OneBlock(const HeadShape& shape, const float* q,
                              int32_t rows, const KvBlock& keys, float* to,
                              cudaStream_t stream) {
    return WithHead()(shape.head_size, [&](auto head) {
      constexpr int kHead = decltype(head)::value;
      if constexpr (kHasMany<T, kHead>) {
        using Many = ManyAttention<T, kHead>;
        const int32_t blocks = (rows + Many::kRows - 1) / Many::kRows;
        if (blocks * shape.n_head >= kManyBlocks) {
          return gpu::Launch(AttendManyQueries<T, kHead, kAccumulate>,
                             dim3(blocks, shape.n_head), kAttendThreads,
                             Many::SharedBytes(), stream, shape, ScaleOf(shape),
                             q, rows, keys, to);
        }
      }
      constexpr int kRows = BlockAttention<T, kHead>::kRows;
      return gpu::Launch(AttendOneBlock<T, kHead, kAccumulate>,
                         dim3((rows + kRows - 1) / kRows, shape.n_head),
                         kAttendThreads,
                         BlockAttention<T, kHead>::SharedBytes(), stream, shape,
                         ScaleOf(shape), q, rows, keys, to);
    });
  }

  static constexpr AttentionOps kOps = {Prepare, Window, WindowSplit,
                                        OneBlock<false>, OneBlock<true>};

 private:
  static float ScaleOf(const HeadShape& shape) {
    return kLog2E / std::sqrt(static_cast<float>(shape.head_size));
  }

  // Until the first error.
  template <class... Kernels>
  static cudaError_t AllowShared(size_t bytes, Kernels*... kernels) {
    cudaError_t error = cudaSuccess;
    for (const void* const kernel :
         {reinterpret_cast<const void*>(kernels)...}) {
      if (error != cudaSuccess) break;
      error = cudaFuncSetAttribute(kernel,
                                   cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   static_cast<int>(bytes));
    }
    return error;
  }
};

}  // namespace tlin::cuda

#endif  // TLIN_ENGINE_BACKEND_CUDA_ATTENTION_KERNELS_H_
