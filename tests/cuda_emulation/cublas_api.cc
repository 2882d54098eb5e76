// The calls of cuBLASLt that a product with a weight takes: column-major
// D = op(A) B + beta C (+ bias), A transposed, sums in f32 over k in one order
// for every column. What cuBLASLt would refuse is refused; a description that
// reaches beyond its memory is a Fault.
#include <cublasLt.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <vector>

#include "tests/cuda_emulation/cublas_matrix.h"
#include "tests/cuda_emulation/device.h"
#include "tests/cuda_emulation/stream.h"

namespace cuda_emulation {
namespace {

// Attributes by number, as the caller set them.
using Attributes = std::map<int, std::vector<char>>;

struct Product {
  cublasComputeType_t compute;
  Attributes attributes;
};

template <class T>
T Get(const Attributes& attributes, int attribute, T otherwise) {
  const auto found = attributes.find(attribute);
  if (found == attributes.end() || found->second.size() != sizeof(T)) {
    return otherwise;
  }
  T value;
  std::memcpy(&value, found->second.data(), sizeof(value));
  return value;
}

void Set(Attributes* attributes, int attribute, const void* value,
         size_t bytes) {
  const auto* const begin = static_cast<const char*>(value);
  (*attributes)[attribute].assign(begin, begin + bytes);
}

void Count(const MatrixProduct& matmul) {
  const auto bytes = [](const Layout& layout) {
    return static_cast<int64_t>(layout.rows * layout.cols) *
           BytesOf(layout.type);
  };
  Counts& counts = TheDevice().counts;
  counts.product_bytes +=
      bytes(matmul.a) + bytes(matmul.b) +
      (matmul.beta == 0 ? 1 : 2) * bytes(matmul.d) +
      (matmul.bias == nullptr ? 0 : static_cast<int64_t>(4 * matmul.d.rows));
  counts.product_flops += 2.0 * static_cast<double>(matmul.a.rows) *
                          static_cast<double>(matmul.d.rows * matmul.d.cols);
}

}  // namespace
}  // namespace cuda_emulation

using cuda_emulation::Attributes;
using cuda_emulation::CheckOwned;
using cuda_emulation::Get;
using cuda_emulation::Layout;
using cuda_emulation::MatrixProduct;
using cuda_emulation::Product;
using cuda_emulation::StreamOf;
using cuda_emulation::TheDevice;
using cuda_emulation::Work;

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = reinterpret_cast<cublasLtHandle_t>(new int);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete reinterpret_cast<int*>(handle);
  return CUBLAS_STATUS_SUCCESS;
}

const char* cublasLtGetStatusName(cublasStatus_t status) {
  return status == CUBLAS_STATUS_SUCCESS ? "CUBLAS_STATUS_SUCCESS"
                                         : "a cuBLAS error";
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* product,
                                        cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  if (scale != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
  *product = reinterpret_cast<cublasLtMatmulDesc_t>(new Product{compute, {}});
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t product) {
  delete reinterpret_cast<Product*>(product);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(
    cublasLtMatmulDesc_t product, cublasLtMatmulDescAttributes_t attribute,
    const void* value, size_t bytes) {
  cuda_emulation::Set(&reinterpret_cast<Product*>(product)->attributes,
                      attribute, value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout,
                                          cudaDataType type, uint64_t rows,
                                          uint64_t cols, int64_t stride) {
  *layout = reinterpret_cast<cublasLtMatrixLayout_t>(
      new Layout{type, rows, cols, stride});
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete reinterpret_cast<Layout*>(layout);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(
    cublasLtMatrixLayout_t handle, cublasLtMatrixLayoutAttribute_t attribute,
    const void* value, size_t bytes) {
  auto* const layout = reinterpret_cast<Layout*>(handle);
  if (bytes != sizeof(uint64_t)) return CUBLAS_STATUS_INVALID_VALUE;
  if (attribute == CUBLASLT_MATRIX_LAYOUT_COLS) {
    std::memcpy(&layout->cols, value, bytes);
  } else if (attribute == CUBLASLT_MATRIX_LAYOUT_LD) {
    std::memcpy(&layout->stride, value, bytes);
  } else {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(
    cublasLtMatmulPreference_t* preference) {
  *preference = reinterpret_cast<cublasLtMatmulPreference_t>(new Attributes);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(
    cublasLtMatmulPreference_t preference) {
  delete reinterpret_cast<Attributes*>(preference);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(
    cublasLtMatmulPreference_t preference,
    cublasLtMatmulPreferenceAttributes_t attribute, const void* value,
    size_t bytes) {
  cuda_emulation::Set(reinterpret_cast<Attributes*>(preference), attribute,
                      value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(
    cublasLtHandle_t, cublasLtMatmulDesc_t product,
    cublasLtMatrixLayout_t a_layout, cublasLtMatrixLayout_t b_layout,
    cublasLtMatrixLayout_t c_layout, cublasLtMatrixLayout_t,
    cublasLtMatmulPreference_t preference, int,
    cublasLtMatmulHeuristicResult_t results[], int* found) {
  const auto& wanted = *reinterpret_cast<Product*>(product);
  const auto& a = *reinterpret_cast<Layout*>(a_layout);
  const auto& b = *reinterpret_cast<Layout*>(b_layout);
  const auto& c = *reinterpret_cast<Layout*>(c_layout);
  // Rows depend on how many there are where sums are split.
  const auto scheme = Get<uint32_t>(*reinterpret_cast<Attributes*>(preference),
                                    CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                    CUBLASLT_REDUCTION_SCHEME_MASK);
  const bool known =
      wanted.compute == CUBLAS_COMPUTE_32F &&
      Get<int32_t>(wanted.attributes, CUBLASLT_MATMUL_DESC_TRANSA,
                   CUBLAS_OP_N) == CUBLAS_OP_T &&
      (a.type == CUDA_R_32F || a.type == CUDA_R_16BF) && a.type == b.type &&
      c.type == CUDA_R_32F && a.rows == b.rows && a.cols == c.rows &&
      b.cols == c.cols && scheme == CUBLASLT_REDUCTION_SCHEME_NONE;
  *found = known ? 1 : 0;
  if (!known) return CUBLAS_STATUS_NOT_SUPPORTED;
  results[0] = {};
  results[0].state = CUBLAS_STATUS_SUCCESS;
  // Of this weight's shape alone.
  results[0].algo.data[0] = a.cols;
  results[0].algo.data[1] = a.rows;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t product,
                              const void* alpha, const void* a,
                              cublasLtMatrixLayout_t a_layout, const void* b,
                              cublasLtMatrixLayout_t b_layout, const void* beta,
                              const void* c, cublasLtMatrixLayout_t c_layout,
                              void* d, cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t* algorithm,
                              void* workspace, size_t workspace_bytes,
                              cudaStream_t stream) {
  const auto& wanted = *reinterpret_cast<Product*>(product);
  MatrixProduct matmul = {/*transposed=*/true,
                          *reinterpret_cast<Layout*>(a_layout),
                          *reinterpret_cast<Layout*>(b_layout),
                          *reinterpret_cast<Layout*>(d_layout),
                          a,
                          b,
                          d,
                          nullptr,
                          *static_cast<const float*>(alpha),
                          *static_cast<const float*>(beta)};
  if (c != d || c_layout != d_layout || algorithm == nullptr ||
      algorithm->data[0] != matmul.a.cols ||
      algorithm->data[1] != matmul.a.rows || matmul.a.rows != matmul.b.rows ||
      matmul.a.cols != matmul.d.rows || matmul.b.cols != matmul.d.cols ||
      matmul.a.stride < static_cast<int64_t>(matmul.a.rows) ||
      matmul.b.stride < static_cast<int64_t>(matmul.b.rows) ||
      matmul.d.stride < static_cast<int64_t>(matmul.d.rows)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (Get<uint32_t>(wanted.attributes, CUBLASLT_MATMUL_DESC_EPILOGUE,
                    CUBLASLT_EPILOGUE_DEFAULT) == CUBLASLT_EPILOGUE_BIAS) {
    matmul.bias = static_cast<const float*>(Get<const void*>(
        wanted.attributes, CUBLASLT_MATMUL_DESC_BIAS_POINTER, nullptr));
    CheckOwned(matmul.bias, {CUDA_R_32F, matmul.d.rows, 1, 1});
  }
  CheckOwned(a, matmul.a);
  CheckOwned(b, matmul.b);
  CheckOwned(d, matmul.d);
  if (!TheDevice().memory().Owns(workspace, workspace_bytes)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (TheDevice().lost() != cudaSuccess) return CUBLAS_STATUS_EXECUTION_FAILED;
  StreamOf(stream).Enqueue({Work::Kind::kKernel, [matmul] {
                              cuda_emulation::Count(matmul);
                              cuda_emulation::Multiply(matmul);
                            }});
  return CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"
