#include "engine/backend/cuda/gemm.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/backend/float_formats.h"
#include "engine/backend/host_matrix.h"
#include "engine/base/status_macros.h"

namespace tlin::cuda {
namespace {

// The algorithm is chosen for so many rows: between a batch that decodes and
// the tile of a sync.
constexpr int64_t kRowsOfChoice = 64;

cudaDataType_t TypeOf(DType dtype) {
  return dtype == DType::kF32 ? CUDA_R_32F : CUDA_R_16BF;
}

// Rows `stride` elements apart, the elements between them zero.
std::vector<std::byte> PackRows(absl::Span<const HostMatrix> parts,
                                const LinearShape& shape, int64_t stride,
                                DType dtype) {
  std::vector<std::byte> packed(
      static_cast<size_t>(shape.outputs * stride * DTypeBytes(dtype)));
  auto* f32 = reinterpret_cast<float*>(packed.data());
  auto* bf16 = reinterpret_cast<uint16_t*>(packed.data());
  int64_t output = 0;
  for (const HostMatrix& part : parts) {
    for (int64_t row = 0; row < part.rows; ++row, ++output) {
      for (int64_t i = 0; i < shape.inputs; ++i) {
        const float value = HostElement(part, row * shape.inputs + i);
        if (dtype == DType::kF32) {
          f32[output * stride + i] = value;
        } else {
          bf16[output * stride + i] = FloatToBf16(value);
        }
      }
    }
  }
  return packed;
}

// The first error of several calls.
class Calls {
 public:
  void operator()(cublasStatus_t status) {
    if (first_ == CUBLAS_STATUS_SUCCESS) first_ = status;
  }
  cublasStatus_t first() const { return first_; }

 private:
  cublasStatus_t first_ = CUBLAS_STATUS_SUCCESS;
};

template <class Value>
cublasStatus_t Set(cublasLtMatmulDesc_t product,
                   cublasLtMatmulDescAttributes_t attribute, Value value) {
  return cublasLtMatmulDescSetAttribute(product, attribute, &value,
                                        sizeof(value));
}

template <class Value>
cublasStatus_t Set(cublasLtMatrixLayout_t layout,
                   cublasLtMatrixLayoutAttribute_t attribute, Value value) {
  return cublasLtMatrixLayoutSetAttribute(layout, attribute, &value,
                                          sizeof(value));
}

template <class Value>
cublasStatus_t Set(cublasLtMatmulPreference_t preference,
                   cublasLtMatmulPreferenceAttributes_t attribute,
                   Value value) {
  return cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value,
                                              sizeof(value));
}

}  // namespace

absl::Status CublasStatus(cublasStatus_t status, absl::string_view what) {
  if (status == CUBLAS_STATUS_SUCCESS) return absl::OkStatus();
  const std::string message =
      absl::StrCat(what, ": cuBLAS status ", static_cast<int>(status), " (",
                   cublasLtGetStatusName(status), ")");
  if (status == CUBLAS_STATUS_ALLOC_FAILED) {
    return absl::ResourceExhaustedError(message);
  }
  return absl::InternalError(message);
}

CudaLinear::~CudaLinear() {
  if (product_ != nullptr) cublasLtMatmulDescDestroy(product_);
  for (const cublasLtMatrixLayout_t layout :
       {weight_layout_, x_layout_, y_layout_}) {
    if (layout != nullptr) cublasLtMatrixLayoutDestroy(layout);
  }
}

absl::StatusOr<std::unique_ptr<Gemm>> Gemm::Create(DType dtype) {
  std::unique_ptr<Gemm> gemm(new Gemm(dtype));
  TLIN_RETURN_IF_ERROR(
      CublasStatus(cublasLtCreate(&gemm->handle_), "cuBLASLt"));
  return gemm;
}

Gemm::~Gemm() {
  if (handle_ != nullptr) cublasLtDestroy(handle_);
}

absl::StatusOr<std::unique_ptr<CudaLinear>> Gemm::MakeLinear(
    absl::Span<const HostMatrix> parts, const HostMatrix& bias) const {
  TLIN_ASSIGN_OR_RETURN(const LinearShape shape, CheckLinear(parts, bias));
  std::unique_ptr<CudaLinear> linear(new CudaLinear);
  linear->outputs_ = shape.outputs;
  linear->inputs_ = shape.inputs;
  linear->stride_ = RowStride(shape.inputs, dtype_);
  const std::vector<std::byte> weight =
      PackRows(parts, shape, linear->stride_, dtype_);
  TLIN_ASSIGN_OR_RETURN(
      linear->weight_,
      DeviceMemory::Upload(absl::MakeConstSpan(weight), "a weight"));
  if (bias.data != nullptr) {
    std::vector<float> biases(static_cast<size_t>(shape.outputs));
    for (int64_t i = 0; i < shape.outputs; ++i) {
      biases[static_cast<size_t>(i)] = HostElement(bias, i);
    }
    TLIN_ASSIGN_OR_RETURN(
        linear->bias_,
        DeviceMemory::Upload(absl::MakeConstSpan(biases), "a bias"));
  }
  TLIN_RETURN_IF_ERROR(Describe(linear.get()));
  return linear;
}

absl::Status Gemm::Describe(CudaLinear* linear) const {
  const cudaDataType_t type = TypeOf(dtype_);
  const auto outputs = static_cast<uint64_t>(linear->outputs_);
  const auto inputs = static_cast<uint64_t>(linear->inputs_);
  Calls calls;
  calls(cublasLtMatmulDescCreate(&linear->product_, CUBLAS_COMPUTE_32F,
                                 CUDA_R_32F));
  calls(Set(linear->product_, CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T));
  if (linear->bias_.size() > 0) {
    calls(Set(linear->product_, CUBLASLT_MATMUL_DESC_EPILOGUE,
              CUBLASLT_EPILOGUE_BIAS));
    calls(Set<const void*>(linear->product_, CUBLASLT_MATMUL_DESC_BIAS_POINTER,
                           linear->bias_.data()));
  }
  calls(cublasLtMatrixLayoutCreate(&linear->weight_layout_, type, inputs,
                                   outputs, linear->stride_));
  calls(cublasLtMatrixLayoutCreate(&linear->x_layout_, type, inputs,
                                   kRowsOfChoice, linear->stride_));
  calls(cublasLtMatrixLayoutCreate(&linear->y_layout_, CUDA_R_32F, outputs,
                                   kRowsOfChoice, linear->outputs_));

  cublasLtMatmulPreference_t preference = nullptr;
  calls(cublasLtMatmulPreferenceCreate(&preference));
  if (calls.first() != CUBLAS_STATUS_SUCCESS) {
    return CublasStatus(calls.first(), "a product's description");
  }
  calls(Set<uint64_t>(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                      kWorkspaceBytes));
  // One sum over all inputs: what a row gets does not depend on how many
  // there are.
  calls(Set<uint32_t>(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                      CUBLASLT_REDUCTION_SCHEME_NONE));
  // y may begin at any row and column of a wider matrix.
  calls(Set<uint32_t>(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
                      sizeof(float)));
  calls(Set<uint32_t>(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
                      sizeof(float)));
  cublasLtMatmulHeuristicResult_t result = {};
  int found = 0;
  calls(cublasLtMatmulAlgoGetHeuristic(
      handle_, linear->product_, linear->weight_layout_, linear->x_layout_,
      linear->y_layout_, linear->y_layout_, preference, 1, &result, &found));
  cublasLtMatmulPreferenceDestroy(preference);
  TLIN_RETURN_IF_ERROR(CublasStatus(calls.first(), "a product's algorithm"));
  if (found == 0) {
    return absl::InternalError(absl::StrCat(
        "cuBLASLt has no algorithm for a weight of ", outputs, " x ", inputs));
  }
  linear->algorithm_ = result.algo;
  return absl::OkStatus();
}

cublasStatus_t Gemm::Multiply(const CudaLinear& linear, const void* x,
                              int64_t rows, bool add, float* y,
                              int64_t y_stride, const DeviceMemory& workspace,
                              cudaStream_t stream) const {
  if (rows == 0) return CUBLAS_STATUS_SUCCESS;
  Calls calls;
  calls(Set<uint64_t>(linear.x_layout_, CUBLASLT_MATRIX_LAYOUT_COLS, rows));
  calls(Set<uint64_t>(linear.y_layout_, CUBLASLT_MATRIX_LAYOUT_COLS, rows));
  calls(Set<int64_t>(linear.y_layout_, CUBLASLT_MATRIX_LAYOUT_LD, y_stride));
  if (calls.first() != CUBLAS_STATUS_SUCCESS) return calls.first();
  const float one = 1;
  const float beta = add ? 1 : 0;
  return cublasLtMatmul(handle_, linear.product_, &one, linear.weight(),
                        linear.weight_layout_, x, linear.x_layout_, &beta, y,
                        linear.y_layout_, y, linear.y_layout_,
                        &linear.algorithm_, workspace.data(),
                        static_cast<size_t>(workspace.size()), stream);
}

}  // namespace tlin::cuda
