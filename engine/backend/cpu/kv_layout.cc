#include "engine/backend/cpu/kv_layout.h"

#include <cstring>

#include "engine/backend/float_formats.h"

namespace tlin {
namespace {

constexpr int64_t kGroup = kKvRowGroup;

// The tile of keys (values) that has the row.
std::byte* Keys(const KvShape& shape, const KvRow& to, int32_t head) {
  return to.data + KvTileOffset(shape, head, to.row);
}

std::byte* Values(const KvShape& shape, const KvRow& to, int32_t head) {
  return to.data + KvTileOffset(shape, head, KvBlockRows(to.capacity) + to.row);
}

void WriteF32(const KvShape& shape, const float* key, const float* value,
              const KvRow& to) {
  const int64_t size = shape.head_size;
  const int64_t row = to.row % kGroup;
  for (int32_t head = 0; head < shape.n_head; ++head) {
    auto* keys = reinterpret_cast<float*>(Keys(shape, to, head));
    for (int64_t i = 0; i < size; ++i) {
      keys[i * kGroup + row] = key[head * size + i];
    }
    std::memcpy(reinterpret_cast<float*>(Values(shape, to, head)) + row * size,
                value + head * size, size * sizeof(float));
  }
}

void WriteBf16(const KvShape& shape, const float* key, const float* value,
               const KvRow& to) {
  const int64_t size = shape.head_size;
  const int64_t row = to.row % kGroup;
  for (int32_t head = 0; head < shape.n_head; ++head) {
    auto* keys = reinterpret_cast<uint32_t*>(Keys(shape, to, head));
    for (int64_t pair = 0; pair < size / 2; ++pair) {
      const float* from = key + head * size + 2 * pair;
      const uint32_t high = FloatToBf16(from[1]);
      keys[pair * kGroup + row] = high << 16 | FloatToBf16(from[0]);
    }
    // Rows of a pair may be written by two threads.
    auto* values = reinterpret_cast<uint16_t*>(Values(shape, to, head)) +
                   row / 2 * 2 * size + row % 2;
    for (int64_t i = 0; i < size; ++i) {
      values[2 * i] = FloatToBf16(value[head * size + i]);
    }
  }
}

// copy(element of the block, element of host memory) for each 32-bit word of
// keys, and each element of values.
template <class Copy>
void ForEachElement(const KvShape& shape, const KvRow& at, std::byte* key,
                    std::byte* value, const Copy& copy) {
  const int64_t size = shape.head_size;
  const int64_t head_bytes = size * DTypeBytes(shape.dtype);
  const int64_t row = at.row % kGroup;
  for (int32_t head = 0; head < shape.n_head; ++head) {
    auto* keys = reinterpret_cast<uint32_t*>(Keys(shape, at, head)) + row;
    auto* words = reinterpret_cast<uint32_t*>(key + head * head_bytes);
    for (int64_t i = 0; i < head_bytes / 4; ++i) {
      copy(keys + i * kGroup, words + i);
    }
    std::byte* const tile = Values(shape, at, head);
    std::byte* const host = value + head * head_bytes;
    if (shape.dtype == DType::kF32) {
      auto* values = reinterpret_cast<uint32_t*>(tile) + row * size;
      for (int64_t i = 0; i < size; ++i) {
        copy(values + i, reinterpret_cast<uint32_t*>(host) + i);
      }
    } else {
      auto* values =
          reinterpret_cast<uint16_t*>(tile) + row / 2 * 2 * size + row % 2;
      for (int64_t i = 0; i < size; ++i) {
        copy(values + 2 * i, reinterpret_cast<uint16_t*>(host) + i);
      }
    }
  }
}

}  // namespace

void UnpackKvRow(const KvShape& shape, const KvRow& from, std::byte* key,
                 std::byte* value) {
  ForEachElement(shape, from, key, value,
                 [](const auto* block, auto* host) { *host = *block; });
}

void PackKvRow(const KvShape& shape, const std::byte* key,
               const std::byte* value, const KvRow& to) {
  // Only read from.
  ForEachElement(shape, to, const_cast<std::byte*>(key),
                 const_cast<std::byte*>(value),
                 [](auto* block, const auto* host) { *block = *host; });
}

void WriteKvRow(const KvShape& shape, const float* key, const float* value,
                const KvRow& to) {
  if (shape.dtype == DType::kF32) {
    WriteF32(shape, key, value, to);
  } else {
    WriteBf16(shape, key, value, to);
  }
}

}  // namespace tlin
