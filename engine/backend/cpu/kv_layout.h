// What is inside a KvBlock on the CPU: keys, then values, in tiles of one
// head's 16 rows, so that the filled part of all heads is read end to end.
//
//   f32:  keys   [group][head][head_size][16]
//         values [group][head][16][head_size]
//   bf16: keys   [group][head][head_size / 2][16][2]
//         values [group][head][16 / 2][head_size][2]
//
// A group is 16 rows: a query's element is multiplied with a vector of keys. In
// bf16 a 32-bit word holds what a dot product instruction takes: two elements
// of a key, or one element of the values of two keys, the even one low.
#ifndef TLIN_ENGINE_BACKEND_CPU_KV_LAYOUT_H_
#define TLIN_ENGINE_BACKEND_CPU_KV_LAYOUT_H_

#include <cstddef>
#include <cstdint>

#include "engine/backend/dtype.h"
#include "engine/backend/kv_block.h"

namespace tlin {

struct KvShape {
  int32_t n_head = 0;
  int32_t head_size = 0;  // even
  DType dtype = DType::kF32;
};

// Writes one row. key, value: f32 [n_head * head_size], the key rotated.
// REQUIRES: 0 <= to.row < to.capacity.
void WriteKvRow(const KvShape& shape, const float* key, const float* value,
                const KvRow& to);

// One row of a block and of row-major host memory in the shape's format, as it
// is: key, value: [n_head * head_size].
void UnpackKvRow(const KvShape& shape, const KvRow& from, std::byte* key,
                 std::byte* value);
void PackKvRow(const KvShape& shape, const std::byte* key,
               const std::byte* value, const KvRow& to);

// Bytes of a tile of keys, or of values.
inline int64_t KvTileBytes(const KvShape& shape) {
  return kKvRowGroup * shape.head_size * DTypeBytes(shape.dtype);
}

// Bytes before one head's tile of the keys that have row `row`. The values come
// after all keys, as if they were more rows.
inline int64_t KvTileOffset(const KvShape& shape, int32_t head, int64_t row) {
  return (row / kKvRowGroup * shape.n_head + head) * KvTileBytes(shape);
}

// One head's keys (values) of a block, from row `row` on, a multiple of 16. The
// next group's are n_head tiles further on.
inline const std::byte* KeysOfHead(const KvShape& shape, const KvBlock& block,
                                   int32_t head, int32_t row) {
  return block.data + KvTileOffset(shape, head, row);
}

inline const std::byte* ValuesOfHead(const KvShape& shape, const KvBlock& block,
                                     int32_t head, int32_t row) {
  return block.data +
         KvTileOffset(shape, head, KvBlockRows(block.capacity) + row);
}

}  // namespace tlin

#endif  // TLIN_ENGINE_BACKEND_CPU_KV_LAYOUT_H_
