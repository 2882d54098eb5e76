#include "tests/bench/own_gemm.h"

#include <utility>

#include "engine/base/check.h"

namespace tlin {
namespace {

PackedMatrix RandomMatrix(DType dtype, const GemmShape& shape) {
  const std::vector<float> values = RandomFloats(shape.in * shape.out, 2);
  const HostMatrix weight = {values.data(), DType::kF32, shape.out, shape.in};
  auto matrix = PackedMatrix::Pack({&weight, 1}, HostMatrix(), dtype);
  TLIN_CHECK(matrix.ok());
  return *std::move(matrix);
}

}  // namespace

OwnGemm::OwnGemm(DType dtype, const GemmShape& shape, int64_t rows,
                 WorkerPool* pool)
    : kernels_(dtype == DType::kF32 ? GemmF32() : FastestGemmBf16()),
      pool_(pool),
      matrix_(RandomMatrix(dtype, shape)),
      y_(static_cast<size_t>(rows * shape.out)) {
  const int64_t stride = PreparedStride(kernels_, shape.in);
  auto prepared = AlignedBuffer::Allocate(
      rows * stride * static_cast<int64_t>(sizeof(uint32_t)));
  TLIN_CHECK(prepared.ok());
  prepared_ = *std::move(prepared);
  auto* words = reinterpret_cast<uint32_t*>(prepared_.data());
  const std::vector<float> x = RandomFloats(rows * shape.in, 1);
  for (int64_t row = 0; row < rows; ++row) {
    kernels_.prepare(&x[row * shape.in], shape.in, words + row * stride);
  }
  rows_ = {words, stride, rows};
}

void OwnGemm::Run() {
  const GemmOutput output = {&matrix_, y_.data(), matrix_.out()};
  Multiply(kernels_, rows_, {&output, 1}, *pool_);
}

}  // namespace tlin
