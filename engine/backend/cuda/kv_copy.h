// From a block of the cache to shared memory, asynchronously.
#ifndef TLIN_ENGINE_BACKEND_CUDA_KV_COPY_H_
#define TLIN_ENGINE_BACKEND_CUDA_KV_COPY_H_

#include <type_traits>

#include "engine/backend/cuda/kernels.h"
#include "engine/backend/cuda/kv_layout.h"
#include "gpu/device.h"

namespace tlin::cuda {

// Thread `thread` of `threads` copies its share of Tile::kKeys rows of a head,
// from row `first` on; rows that are not filled become zeros. Elements beyond
// the head size stay as they are.
template <class Tile, int kBytes, class T>
__device__ __forceinline__ void CopyRows(const HeadShape& shape, const T* from,
                                         int rows, int first, T* to, int thread,
                                         int threads) {
  constexpr int kElements = kBytes / static_cast<int>(sizeof(T));
  const int pieces = shape.head_size / kElements;
  for (int i = thread; i < Tile::kKeys * pieces; i += threads) {
    const int row = i / pieces;
    const int element = i % pieces * kElements;
    const bool filled = first + row < rows;
    gpu::CopyAsync<kBytes>(
        to + row * Tile::kStride + element,
        from + int64_t{filled ? first + row : 0} * shape.head_size + element,
        filled);
  }
}

// Keys and values, as one group.
template <class Tile, class T>
__device__ __forceinline__ void CopyTile(const HeadShape& shape, int head,
                                         const KvBlock& block, int first,
                                         T* keys, T* values, int thread,
                                         int threads) {
  const T* const from_keys = reinterpret_cast<const T*>(block.data) +
                             KeyIndex(shape, block.capacity, head, 0);
  const T* const from_values = from_keys + ValueOffset(shape, block.capacity);
  const auto copy = [&](auto bytes) {
    constexpr int kBytes = decltype(bytes)::value;
    CopyRows<Tile, kBytes>(shape, from_keys, block.rows, first, keys, thread,
                           threads);
    CopyRows<Tile, kBytes>(shape, from_values, block.rows, first, values,
                           thread, threads);
  };
  const int row_bytes = shape.head_size * static_cast<int>(sizeof(T));
  if (Tile::kCopyBytes == 16 && row_bytes % 16 == 0) {
    copy(std::integral_constant<int, 16>());
  } else if (Tile::kCopyBytes == 16 && row_bytes % 8 == 0) {
    copy(std::integral_constant<int, 8>());
  } else {
    copy(std::integral_constant<int, 4>());
  }
  gpu::CopyAsyncCommit();
}

}  // namespace tlin::cuda

#endif  // TLIN_ENGINE_BACKEND_CUDA_KV_COPY_H_
