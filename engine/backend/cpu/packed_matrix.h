// A weight matrix in the one layout that every kernel reads: panels of 32
// outputs, each panel all inputs deep.
//
//   f32   panel[input][32]
//   bf16  panel[input / 2][32][2]: an aligned 32-bit word holds two
//   neighbouring
//         inputs of an output (the even one low), which is what a bf16 dot
//         product instruction eats, and which a shift and a mask turn into two
//         f32 vectors without a permutation.
//
// Outputs are padded to 32 and inputs to 2 with zeros. One row x of inputs
// times the matrix reads it once, in order: bytes() bytes, 2 * in * out FLOP.
#ifndef TLIN_ENGINE_BACKEND_CPU_PACKED_MATRIX_H_
#define TLIN_ENGINE_BACKEND_CPU_PACKED_MATRIX_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/backend/backend.h"
#include "engine/backend/cpu/aligned_buffer.h"
#include "engine/backend/dtype.h"

namespace tlin {

inline constexpr int64_t kPanel = 32;

// Constant after construction.
class PackedMatrix {
 public:
  // `parts` are stacked by rows; bias may have no data. INVALID_ARGUMENT when
  // shapes do not fit together, RESOURCE_EXHAUSTED without memory.
  static absl::StatusOr<PackedMatrix> Pack(absl::Span<const HostMatrix> parts,
                                           const HostMatrix& bias, DType dtype);

  DType dtype() const { return dtype_; }
  int64_t in() const { return in_; }
  int64_t out() const { return out_; }
  int64_t panels() const { return (out_ + kPanel - 1) / kPanel; }
  int64_t panel_bytes() const {
    return (in_ + 1) / 2 * 2 * kPanel * DTypeBytes(dtype_);
  }
  const std::byte* data() const { return weight_.data(); }
  const float* bias() const {  // [panels * 32], zeros where there is none
    return reinterpret_cast<const float*>(bias_.data());
  }
  int64_t bytes() const { return weight_.size() + bias_.size(); }

  // row[0 .. in) = the weights of one output. REQUIRES: 0 <= output < out().
  void Gather(int64_t output, float* row) const;

 private:
  DType dtype_ = DType::kF32;
  int64_t in_ = 0;
  int64_t out_ = 0;
  AlignedBuffer weight_;
  AlignedBuffer bias_;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_BACKEND_CPU_PACKED_MATRIX_H_
