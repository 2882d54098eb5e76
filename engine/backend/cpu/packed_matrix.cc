#include "engine/backend/cpu/packed_matrix.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

#include "engine/backend/float_formats.h"
#include "engine/backend/host_matrix.h"
#include "engine/base/status_macros.h"

namespace tlin {
namespace {

// Where weight [output][input] lies, in elements.
int64_t PackedIndex(DType dtype, int64_t in, int64_t output, int64_t input) {
  const int64_t padded = (in + 1) / 2 * 2;
  const int64_t panel = output / kPanel * padded * kPanel;
  const int64_t lane = output % kPanel;
  return dtype == DType::kF32
             ? panel + input * kPanel + lane
             : panel + (input / 2 * kPanel + lane) * 2 + input % 2;
}

}  // namespace

absl::StatusOr<PackedMatrix> PackedMatrix::Pack(
    absl::Span<const HostMatrix> parts, const HostMatrix& bias, DType dtype) {
  TLIN_ASSIGN_OR_RETURN(const LinearShape shape, CheckLinear(parts, bias));
  PackedMatrix packed;
  packed.dtype_ = dtype;
  packed.in_ = shape.inputs;
  packed.out_ = shape.outputs;
  TLIN_ASSIGN_OR_RETURN(
      packed.weight_,
      AlignedBuffer::Allocate(packed.panels() * packed.panel_bytes()));
  TLIN_ASSIGN_OR_RETURN(
      packed.bias_,
      AlignedBuffer::Allocate(packed.panels() * kPanel * sizeof(float)));

  auto* f32 = reinterpret_cast<float*>(packed.weight_.data());
  auto* bf16 = reinterpret_cast<uint16_t*>(packed.weight_.data());
  int64_t output = 0;
  for (const HostMatrix& part : parts) {
    for (int64_t row = 0; row < part.rows; ++row, ++output) {
      for (int64_t input = 0; input < packed.in_; ++input) {
        const float value = HostElement(part, row * packed.in_ + input);
        const int64_t at = PackedIndex(dtype, packed.in_, output, input);
        if (dtype == DType::kF32) {
          f32[at] = value;
        } else {
          bf16[at] = FloatToBf16(value);
        }
      }
    }
  }
  auto* packed_bias = reinterpret_cast<float*>(packed.bias_.data());
  for (int64_t i = 0; bias.data != nullptr && i < packed.out_; ++i) {
    packed_bias[i] = HostElement(bias, i);
  }
  return packed;
}

void PackedMatrix::Gather(int64_t output, float* row) const {
  const int64_t first = PackedIndex(dtype_, in_, output, 0);
  if (dtype_ == DType::kF32) {
    const auto* f32 = reinterpret_cast<const float*>(weight_.data()) + first;
    for (int64_t i = 0; i < in_; ++i) row[i] = f32[i * kPanel];
    return;
  }
  const auto* bf16 = reinterpret_cast<const uint16_t*>(weight_.data()) + first;
  int64_t i = 0;
  for (; i + 1 < in_; i += 2) {
    row[i] = Bf16ToFloat(bf16[i * kPanel]);
    row[i + 1] = Bf16ToFloat(bf16[i * kPanel + 1]);
  }
  if (i < in_) row[i] = Bf16ToFloat(bf16[i * kPanel]);
}

}  // namespace tlin
