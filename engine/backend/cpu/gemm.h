// y = W x + b with W packed once, for any number of rows.
//
// Layout: panels of 64 columns (a column is one output); inside a panel all of
// the inputs k in order, each with its 64 columns; bf16 keeps the inputs 2i and
// 2i + 1 of a column side by side, so that a 32-bit lane holds both. The same
// layout serves the embedding: a token's row is a column here.
//
// Every output is one accumulator that takes the products in the order of k
// (bf16: 1, 0, 3, 2, …, the order of the processor's own bf16 dot product),
// whatever the number of rows, so a row's result does not depend on its
// company.
//
// Bytes: W once for each 48 rows; FLOPs: 2 * rows * in * out.
#ifndef TLIN_ENGINE_BACKEND_CPU_GEMM_H_
#define TLIN_ENGINE_BACKEND_CPU_GEMM_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "engine/backend/backend.h"
#include "engine/backend/cpu/aligned.h"
#include "engine/backend/cpu/worker_pool.h"
#include "engine/backend/dtype.h"

namespace tlin {

inline constexpr int64_t kPanelColumns = 64;

// Immutable after Pack.
class CpuLinear final : public Linear {
 public:
  // `parts` are stacked by rows; each is [out, in] of any dtype.
  CpuLinear(absl::Span<const HostMatrix> parts, const HostMatrix& bias,
            DType dtype);

  int64_t bytes() const override;
  bool empty() const { return weights_.data() == nullptr; }  // no memory for it

  DType dtype() const { return dtype_; }
  int64_t in() const { return in_; }
  int64_t out() const { return out_; }
  int64_t panels() const { return (out_ + kPanelColumns - 1) / kPanelColumns; }
  // Steps of k in a panel: inputs (f32) or pairs of inputs (bf16).
  int64_t steps() const { return dtype_ == DType::kBF16 ? (in_ + 1) / 2 : in_; }
  const std::byte* panel(int64_t index) const {
    return weights_.data() + index * panel_bytes();
  }
  const float* bias(int64_t panel) const {  // [64]
    return bias_.data() + panel * kPanelColumns;
  }

  // The weights of output `column`: f32 [in].
  void Column(int64_t column, float* values) const;

 private:
  int64_t panel_bytes() const { return steps() * kPanelColumns * 4; }

  const DType dtype_;
  int64_t in_ = 0;
  int64_t out_ = 0;
  AlignedBytes weights_;
  std::vector<float> bias_;  // padded with zeros to whole panels
};

std::vector<float> ToFloats(const HostMatrix& matrix);

// Bytes of a row of inputs as Gemm takes them: f32, or bf16 padded to pairs.
int64_t GemmInputBytes(int64_t in, DType dtype);

// x [rows, GemmInputBytes] in the weights' dtype; y f32 [rows, out].
void Gemm(const CpuLinear& linear, const std::byte* x, int32_t rows, float* y,
          WorkerPool* pool);

}  // namespace tlin

#endif  // TLIN_ENGINE_BACKEND_CPU_GEMM_H_
