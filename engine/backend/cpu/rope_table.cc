#include "engine/backend/cpu/rope_table.h"

#include <algorithm>
#include <cmath>

namespace tlin {

RopeTable::RopeTable(int32_t head_size, int32_t max_rows)
    : half_(head_size / 2),
      cosines_(static_cast<size_t>(max_rows) * half_),
      sines_(static_cast<size_t>(max_rows) * half_) {
  positions_.reserve(static_cast<size_t>(max_rows));
  for (int32_t i = 0; i < half_; ++i) {
    // In float32 throughout, as the published models were trained: at position
    // 150,000 a frequency that is off by its last bit gives other logits.
    const float exponent =
        static_cast<float>(2 * i) / static_cast<float>(head_size);
    frequencies_.push_back(1.0f / std::pow(10000.0f, exponent));
  }
}

void RopeTable::Prepare(absl::Span<const int32_t> positions, WorkerPool* pool) {
  if (std::equal(positions.begin(), positions.end(), positions_.begin(),
                 positions_.end())) {
    return;
  }
  positions_.assign(positions.begin(), positions.end());
  pool->ParallelFor(static_cast<int64_t>(positions.size()), [&](int64_t row,
                                                                int) {
    const auto position = static_cast<float>(positions[row]);
    for (int32_t i = 0; i < half_; ++i) {
      // The angle is the float32 product; its cosine is taken in
      // double, which is exact for the rounded angle.
      const float angle = position * frequencies_[i];
      cosines_[row * half_ + i] = static_cast<float>(std::cos(double{angle}));
      sines_[row * half_ + i] = static_cast<float>(std::sin(double{angle}));
    }
  });
}

int64_t RopeTable::bytes() const {
  return static_cast<int64_t>((cosines_.size() + sines_.size()) *
                              sizeof(float));
}

}  // namespace tlin
