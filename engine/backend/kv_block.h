// A block of rotated keys and values: the unit of every cache. A generation
// window and a compressed history are one block for each layer; a growing
// history is a list of equal blocks (pages).
#ifndef TLIN_ENGINE_BACKEND_KV_BLOCK_H_
#define TLIN_ENGINE_BACKEND_KV_BLOCK_H_

#include <cstddef>
#include <cstdint>

#include "engine/backend/dtype.h"

namespace tlin {

// Capacities are rounded up to this many rows, so that a backend can keep keys
// in groups of a vector's width. Blocks start at multiples of 64 bytes.
inline constexpr int64_t kKvRowGroup = 16;

constexpr int64_t KvBlockRows(int64_t capacity) {
  return (capacity + kKvRowGroup - 1) / kKvRowGroup * kKvRowGroup;
}

// Bytes of a block that holds `capacity` rows of keys and of values, each
// n_embd wide. The order of the elements inside is the backend's own.
constexpr int64_t KvBlockBytes(int64_t capacity, int64_t n_embd, DType dtype) {
  const int64_t bytes = KvBlockRows(capacity) * 2 * n_embd * DTypeBytes(dtype);
  return (bytes + 63) / 64 * 64;
}

// Bytes of keys and values of `rows` rows, each n_embd wide, with nothing
// between them.
constexpr int64_t KvRowsBytes(int64_t rows, int64_t n_embd, DType dtype) {
  return rows * 2 * n_embd * DTypeBytes(dtype);
}

// Non-owning view. `rows` of `capacity` are filled.
struct KvBlock {
  std::byte* data = nullptr;  // device memory
  int32_t capacity = 0;
  int32_t rows = 0;
};

// Where one row of keys and values is written.
struct KvRow {
  std::byte* data = nullptr;  // of the block, device memory
  int32_t capacity = 0;       // of the block
  int32_t row = 0;            // [0, capacity)
};

}  // namespace tlin

#endif  // TLIN_ENGINE_BACKEND_KV_BLOCK_H_
