#include "engine/backend/cpu/cpu_weights.h"

#include <memory>

#include "engine/backend/host_matrix.h"
#include "engine/base/status_macros.h"

namespace tlin {

absl::StatusOr<std::unique_ptr<CpuNorm>> CpuNorm::Create(
    const HostMatrix& weight, const HostMatrix& bias, int64_t size) {
  TLIN_RETURN_IF_ERROR(CheckNorm(weight, bias, size));
  TLIN_ASSIGN_OR_RETURN(AlignedBuffer memory,
                        AlignedBuffer::Allocate(2 * size * 4));
  auto* floats = reinterpret_cast<float*>(memory.data());
  for (int64_t i = 0; i < size; ++i) {
    floats[i] = HostElement(weight, i);
    floats[size + i] = HostElement(bias, i);
  }
  return std::unique_ptr<CpuNorm>(new CpuNorm(std::move(memory), size));
}

}  // namespace tlin
