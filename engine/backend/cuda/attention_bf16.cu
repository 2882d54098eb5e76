// Attention in bf16.
#include "engine/backend/cuda/attention_kernels.h"

namespace tlin::cuda {
namespace {

struct WithHead {
  template <class Run>
  auto operator()(int32_t head_size, const Run& run) const {
    if (head_size <= 32) return run(std::integral_constant<int, 32>());
    if (head_size <= 48) return run(std::integral_constant<int, 48>());
    if (head_size <= 64) return run(std::integral_constant<int, 64>());
    if (head_size <= 128) return run(std::integral_constant<int, 128>());
    return run(std::integral_constant<int, kMaxHeadSize>());
  }
};

}  // namespace

const AttentionOps& AttentionOpsBf16() {
  return AttentionLaunchers<Bf16, WithHead>::kOps;
}

}  // namespace tlin::cuda
