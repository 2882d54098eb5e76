// Products with weights, by cuBLASLt.
#ifndef TLIN_ENGINE_BACKEND_CUDA_GEMM_H_
#define TLIN_ENGINE_BACKEND_CUDA_GEMM_H_

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/backend/backend.h"
#include "engine/backend/cuda/memory.h"
#include "engine/backend/dtype.h"

namespace tlin::cuda {

// Elements from one row of a weight or of prepared rows to the next: rows begin
// at multiples of 16 bytes, which tensor cores want.
constexpr int64_t RowStride(int64_t cols, DType dtype) {
  const int64_t group = 16 / DTypeBytes(dtype);
  return (cols + group - 1) / group * group;
}

// y = W x + b, W [outputs, inputs] in the dtype, b f32 or none. Row y depends
// on row x alone: one algorithm, which does not split the sum over inputs, is
// chosen when the weight is loaded, and kept for any number of rows.
class CudaLinear final : public Linear {
 public:
  ~CudaLinear() override;

  int64_t bytes() const override { return weight_.size() + bias_.size(); }
  int64_t outputs() const { return outputs_; }
  int64_t stride() const { return stride_; }
  const void* weight() const { return weight_.data(); }

 private:
  friend class Gemm;
  CudaLinear() = default;

  int64_t outputs_ = 0;
  int64_t inputs_ = 0;
  int64_t stride_ = 0;  // of the weight's rows, and of x's
  DeviceMemory weight_;
  DeviceMemory bias_;
  // Column-major, as cuBLAS sees it: y^T [outputs, rows] = W^T^T x^T.
  cublasLtMatmulDesc_t product_ = nullptr;
  cublasLtMatrixLayout_t weight_layout_ = nullptr;
  cublasLtMatrixLayout_t x_layout_ = nullptr;
  cublasLtMatrixLayout_t y_layout_ = nullptr;
  cublasLtMatmulAlgo_t algorithm_ = {};
};

// Engine thread.
class Gemm {
 public:
  static absl::StatusOr<std::unique_ptr<Gemm>> Create(DType dtype);
  ~Gemm();

  static constexpr int64_t kWorkspaceBytes = int64_t{32} << 20;

  // INVALID_ARGUMENT where the parts or the bias do not fit together.
  absl::StatusOr<std::unique_ptr<CudaLinear>> MakeLinear(
      absl::Span<const HostMatrix> parts, const HostMatrix& bias) const;

  // y [rows, outputs], rows `y_stride` floats apart, = W x + b; or += it.
  // x is prepared rows; kWorkspaceBytes of workspace, which products of one
  // stream share.
  cublasStatus_t Multiply(const CudaLinear& linear, const void* x, int64_t rows,
                          bool add, float* y, int64_t y_stride,
                          const DeviceMemory& workspace,
                          cudaStream_t stream) const;

 private:
  explicit Gemm(DType dtype) : dtype_(dtype) {}
  absl::Status Describe(CudaLinear* linear) const;

  const DType dtype_;
  cublasLtHandle_t handle_ = nullptr;
};

absl::Status CublasStatus(cublasStatus_t status, absl::string_view what);

}  // namespace tlin::cuda

#endif  // TLIN_ENGINE_BACKEND_CUDA_GEMM_H_
