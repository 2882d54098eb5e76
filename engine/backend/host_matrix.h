// What backends do with matrices of a weight file before they make their own
// form of them.
#ifndef TLIN_ENGINE_BACKEND_HOST_MATRIX_H_
#define TLIN_ENGINE_BACKEND_HOST_MATRIX_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/backend/backend.h"

namespace tlin {

// An element, row by row, as a float.
float HostElement(const HostMatrix& matrix, int64_t index);

struct LinearShape {
  int64_t outputs = 0;
  int64_t inputs = 0;
};

// Of one or two parts, stacked by rows, and a bias, which may have no data.
// INVALID_ARGUMENT where they do not fit together.
absl::StatusOr<LinearShape> CheckLinear(absl::Span<const HostMatrix> parts,
                                        const HostMatrix& bias);

// INVALID_ARGUMENT unless both are vectors of `size` elements.
absl::Status CheckNorm(const HostMatrix& weight, const HostMatrix& bias,
                       int64_t size);

}  // namespace tlin

#endif  // TLIN_ENGINE_BACKEND_HOST_MATRIX_H_
