#include "engine/backend/cpu/kv_layout.h"

#include <cstring>

#include "engine/backend/cpu/float_formats.h"

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

}  // namespace

void WriteKvRow(const KvShape& shape, const float* key, const float* value,
                const KvRow& to) {
  if (shape.dtype == DType::kF32) {
    WriteF32(shape, key, value, to);
  } else {
    WriteBf16(shape, key, value, to);
  }
}

}  // namespace tlin
