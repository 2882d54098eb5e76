#include "engine/backend/cpu/kv_layout.h"

#include <cstring>

#include "engine/backend/cpu/float_formats.h"

namespace tlin {
namespace {

constexpr int64_t kGroup = kKvRowGroup;

void WriteF32(const KvShape& shape, const float* key, const float* value,
              const KvRow& to) {
  const int64_t size = shape.head_size;
  const int64_t rows = KvBlockRows(to.capacity);
  auto* keys = reinterpret_cast<float*>(to.data);
  for (int64_t head = 0; head < shape.n_head; ++head) {
    float* group = keys + (head * rows + to.row / kGroup * kGroup) * size +
                   to.row % kGroup;
    for (int64_t i = 0; i < size; ++i) group[i * kGroup] = key[head * size + i];
    std::memcpy(keys + ((shape.n_head + head) * rows + to.row) * size,
                value + head * size, size * sizeof(float));
  }
}

void WriteBf16(const KvShape& shape, const float* key, const float* value,
               const KvRow& to) {
  const int64_t size = shape.head_size;
  const int64_t rows = KvBlockRows(to.capacity);
  auto* keys = reinterpret_cast<uint16_t*>(to.data);
  for (int64_t head = 0; head < shape.n_head; ++head) {
    auto* group = reinterpret_cast<uint32_t*>(
                      keys + (head * rows + to.row / kGroup * kGroup) * size) +
                  to.row % kGroup;
    for (int64_t pair = 0; pair < size / 2; ++pair) {
      const float* from = key + head * size + 2 * pair;
      const uint32_t high = FloatToBf16(from[1]);
      group[pair * kGroup] = high << 16 | FloatToBf16(from[0]);
    }
    // Rows of a pair may be written by two threads.
    uint16_t* row = keys +
                    ((shape.n_head + head) * rows + to.row / 2 * 2) * size +
                    to.row % 2;
    for (int64_t i = 0; i < size; ++i) {
      row[2 * i] = FloatToBf16(value[head * size + i]);
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
