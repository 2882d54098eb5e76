// Partials of attention: how they lie in memory, and what is carried.
#include <algorithm>

#include "engine/backend/cpu/attention.h"

namespace tlin {

// A partial is one state a head.
SoftmaxState CpuAttention::PartialState(std::byte* partial, int32_t rows,
                                        int32_t head) const {
  return StateAt(reinterpret_cast<float*>(partial) + head * StateFloats(rows),
                 rows);
}

int64_t CpuAttention::PartialBytes(int32_t rows) const {
  return shape_.n_head * StateFloats(rows) *
         static_cast<int64_t>(sizeof(float));
}

void CpuAttention::ResetPartial(int32_t rows, std::byte* partial) const {
  for (int32_t head = 0; head < shape_.n_head; ++head) {
    ClearState(rows, shape_.head_size, PartialState(partial, rows, head));
  }
}

void CpuAttention::FinishPartial(const std::byte* partial, bool add, Rows out) {
  for (int32_t head = 0; head < shape_.n_head; ++head) {
    const Cut cut = {nullptr, out.rows, head, /*heads=*/false};
    WriteOut(cut, PartialState(const_cast<std::byte*>(partial), out.rows, head),
             add, out.data);
  }
}

void CpuAttention::CopyState(const SoftmaxState& from, int32_t from_row,
                             const SoftmaxState& to, int32_t to_row) const {
  to.maximum[to_row] = from.maximum[from_row];
  to.sum[to_row] = from.sum[from_row];
  std::copy_n(from.values + int64_t{from_row} * shape_.head_size,
              shape_.head_size, to.values + int64_t{to_row} * shape_.head_size);
}

void CpuAttention::Carry(const Cut& cut, const SoftmaxState& state,
                         PartRow first) const {
  const PartialRing& ring = first.part->carry;
  for (int32_t row = 0; row < cut.rows; ++row) {
    const int32_t part_row = first.row + (cut.heads ? 0 : row);
    if (part_row + ring.rows < first.part->rows) continue;  // not the last one
    const int32_t head = cut.head + (cut.heads ? row : 0);
    CopyState(state, row, PartialState(ring.data, ring.rows, head),
              (first.part->first_query + part_row) % ring.rows);
  }
}

void CpuAttention::LoadPartial(const PartialRing& ring, int32_t first_query,
                               int32_t rows, std::byte* partial) const {
  for (int32_t head = 0; head < shape_.n_head; ++head) {
    const SoftmaxState from = PartialState(ring.data, ring.rows, head);
    const SoftmaxState to = PartialState(partial, rows, head);
    for (int32_t row = 0; row < rows; ++row) {
      CopyState(from, (first_query + row) % ring.rows, to, row);
    }
  }
}

void CpuAttention::StorePartial(const std::byte* partial, int32_t rows,
                                const PartialRing& ring,
                                int32_t first_query) const {
  for (int32_t head = 0; head < shape_.n_head; ++head) {
    const SoftmaxState from =
        PartialState(const_cast<std::byte*>(partial), rows, head);
    const SoftmaxState to = PartialState(ring.data, ring.rows, head);
    for (int32_t row = 0; row < rows; ++row) {
      CopyState(from, row, to, (first_query + row) % ring.rows);
    }
  }
}

}  // namespace tlin
