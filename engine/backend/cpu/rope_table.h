// Cosines and sines of the rows of a call. MODEL: "RoPE".
#ifndef TLIN_ENGINE_BACKEND_CPU_ROPE_TABLE_H_
#define TLIN_ENGINE_BACKEND_CPU_ROPE_TABLE_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "engine/backend/cpu/worker_pool.h"

namespace tlin {

// Every layer of a step rotates by the same positions: they are worked out once
// and kept until other positions are asked for.
class RopeTable {
 public:
  RopeTable(int32_t head_size, int32_t max_rows);

  void Prepare(absl::Span<const int32_t> positions, WorkerPool* pool);

  // Of the row of the last Prepare: [head_size / 2].
  const float* cosines(int32_t row) const {
    return cosines_.data() + int64_t{row} * half_;
  }
  const float* sines(int32_t row) const {
    return sines_.data() + int64_t{row} * half_;
  }
  int64_t bytes() const;

 private:
  const int32_t half_;  // pairs a head
  std::vector<float> frequencies_;
  std::vector<int32_t> positions_;
  std::vector<float> cosines_;  // [max_rows, half]
  std::vector<float> sines_;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_BACKEND_CPU_ROPE_TABLE_H_
