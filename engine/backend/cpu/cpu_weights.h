// Weights in the CPU backend's form, and the casts from the interface's types.
#ifndef TLIN_ENGINE_BACKEND_CPU_CPU_WEIGHTS_H_
#define TLIN_ENGINE_BACKEND_CPU_CPU_WEIGHTS_H_

#include <utility>

#include "absl/status/statusor.h"
#include "engine/backend/backend.h"
#include "engine/backend/cpu/aligned_buffer.h"
#include "engine/backend/cpu/packed_matrix.h"

namespace tlin {

class CpuLinear final : public Linear {
 public:
  explicit CpuLinear(PackedMatrix matrix) : matrix_(std::move(matrix)) {}
  int64_t bytes() const override { return matrix_.bytes(); }
  const PackedMatrix& matrix() const { return matrix_; }

 private:
  const PackedMatrix matrix_;
};

class CpuNorm final : public Norm {
 public:
  // INVALID_ARGUMENT unless both have `size` elements.
  static absl::StatusOr<std::unique_ptr<CpuNorm>> Create(
      const HostMatrix& weight, const HostMatrix& bias, int64_t size);

  int64_t bytes() const override { return memory_.size(); }
  const float* weight() const {  // [size]
    return reinterpret_cast<const float*>(memory_.data());
  }
  const float* bias() const { return weight() + size_; }  // [size]

 private:
  CpuNorm(AlignedBuffer memory, int64_t size)
      : memory_(std::move(memory)), size_(size) {}

  const AlignedBuffer memory_;  // weight, then bias
  const int64_t size_;
};

class CpuBuffer final : public DeviceBuffer {
 public:
  explicit CpuBuffer(AlignedBuffer memory) : memory_(std::move(memory)) {}
  std::byte* data() override { return memory_.data(); }
  int64_t size() const override { return memory_.size(); }

 private:
  AlignedBuffer memory_;
};

// A backend's weights come back to the backend that made them.
inline const PackedMatrix& Packed(const Linear& linear) {
  return static_cast<const CpuLinear&>(linear).matrix();
}

inline const CpuNorm& Cpu(const Norm& norm) {
  return static_cast<const CpuNorm&>(norm);
}

}  // namespace tlin

#endif  // TLIN_ENGINE_BACKEND_CPU_CPU_WEIGHTS_H_
