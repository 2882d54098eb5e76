#include "engine/backend/backend_shape.h"

#include <cmath>

#include "absl/strings/str_cat.h"

namespace tlin {

absl::Status CheckBackendShape(const BackendShape& shape, DType dtype,
                               absl::string_view backend) {
  if (dtype != DType::kF32 && dtype != DType::kBF16) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the ", backend, " backend has no weights of ", DTypeName(dtype)));
  }
  if (shape.n_head < 1 || shape.n_embd < 1 ||
      shape.n_embd % (2 * shape.n_head) != 0 || shape.ffn_size < 1 ||
      shape.vocab_size < 1 || shape.max_rows < 1 || shape.max_logit_rows < 0 ||
      shape.max_blocks < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "n_embd ", shape.n_embd, ", n_head ", shape.n_head, ", ffn_size ",
        shape.ffn_size, ", vocab_size ", shape.vocab_size, ", max_rows ",
        shape.max_rows, ", max_logit_rows ", shape.max_logit_rows,
        ", max_blocks ", shape.max_blocks,
        ": want them positive, and an even head size"));
  }
  return absl::OkStatus();
}

std::vector<float> RopeFrequencies(int32_t head_size) {
  std::vector<float> frequencies(static_cast<size_t>(head_size / 2));
  for (int32_t i = 0; i < head_size / 2; ++i) {
    const float exponent =
        static_cast<float>(2 * i) / static_cast<float>(head_size);
    frequencies[static_cast<size_t>(i)] = 1.0f / std::pow(10000.0f, exponent);
  }
  return frequencies;
}

}  // namespace tlin
