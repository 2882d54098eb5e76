#include "engine/backend/host_matrix.h"

#include <cstddef>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "engine/backend/float_formats.h"

namespace tlin {
namespace {

// Files align their tensors to nothing.
template <typename T>
T LoadElement(const HostMatrix& matrix, int64_t index) {
  T element;
  std::memcpy(&element,
              static_cast<const std::byte*>(matrix.data) + index * sizeof(T),
              sizeof(T));
  return element;
}

}  // namespace

float HostElement(const HostMatrix& matrix, int64_t index) {
  switch (matrix.dtype) {
    case DType::kF32:
      return LoadElement<float>(matrix, index);
    case DType::kBF16:
      return Bf16ToFloat(LoadElement<uint16_t>(matrix, index));
    case DType::kF16:
      return F16ToFloat(LoadElement<uint16_t>(matrix, index));
  }
  return 0.0f;
}

absl::StatusOr<LinearShape> CheckLinear(absl::Span<const HostMatrix> parts,
                                        const HostMatrix& bias) {
  if (parts.empty() || parts.size() > 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("a linear layer of ", parts.size(), " parts"));
  }
  LinearShape shape = {0, parts[0].cols};
  for (const HostMatrix& part : parts) {
    if (part.data == nullptr || part.rows <= 0 || part.cols <= 0 ||
        part.cols != shape.inputs) {
      return absl::InvalidArgumentError(
          absl::StrCat("a linear layer's part of ", part.rows, " x ", part.cols,
                       " elements beside ", shape.inputs, " inputs"));
    }
    shape.outputs += part.rows;
  }
  if (bias.data != nullptr && bias.rows * bias.cols != shape.outputs) {
    return absl::InvalidArgumentError(
        absl::StrCat("a bias of ", bias.rows * bias.cols, " elements for ",
                     shape.outputs, " outputs"));
  }
  return shape;
}

absl::Status CheckNorm(const HostMatrix& weight, const HostMatrix& bias,
                       int64_t size) {
  for (const HostMatrix* vector : {&weight, &bias}) {
    if (vector->data == nullptr || vector->rows != 1 || vector->cols != size) {
      return absl::InvalidArgumentError(
          absl::StrCat("a norm's vector of ", vector->rows, " x ", vector->cols,
                       " elements; rows have ", size));
    }
  }
  return absl::OkStatus();
}

}  // namespace tlin
