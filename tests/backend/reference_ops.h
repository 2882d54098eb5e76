// MODEL's pieces in plain double arithmetic: what every backend is compared
// with. Nothing here is fast or clever.
#ifndef TLIN_TESTS_BACKEND_REFERENCE_OPS_H_
#define TLIN_TESTS_BACKEND_REFERENCE_OPS_H_

#include <cstdint>
#include <random>
#include <vector>

#include "engine/backend/dtype.h"

namespace tlin {

// Row-major.
struct Matrix {
  int64_t rows = 0;
  int64_t cols = 0;
  std::vector<double> values;

  Matrix() = default;
  Matrix(int64_t rows, int64_t cols)
      : rows(rows), cols(cols), values(rows * cols) {}
  double& at(int64_t row, int64_t col) { return values[row * cols + col]; }
  double at(int64_t row, int64_t col) const { return values[row * cols + col]; }
  double* row(int64_t index) { return values.data() + index * cols; }
  const double* row(int64_t index) const {
    return values.data() + index * cols;
  }
};

// Uniform in [-limit, limit], each representable in float32.
Matrix RandomMatrix(int64_t rows, int64_t cols, double limit,
                    std::mt19937& random);

// Rounded to what the format holds.
double Round(double value, DType dtype);
Matrix Round(Matrix matrix, DType dtype);

std::vector<float> ToFloats(const Matrix& matrix);

Matrix ReferenceNorm(const Matrix& x, const Matrix& weight, const Matrix& bias);

// x W^T + b; b may be empty.
Matrix ReferenceLinear(const Matrix& x, const Matrix& weight,
                       const Matrix& bias);

// Angles rounded to float32 as MODEL says.
Matrix ReferenceRope(const Matrix& x, const std::vector<int32_t>& positions,
                     int64_t n_head);

// silu(x[:, :F]) * x[:, F:].
Matrix ReferenceSwiGlu(const Matrix& gate_up);

// Row i sees the first sees[i] keys.
Matrix ReferenceAttend(const Matrix& q, const Matrix& keys,
                       const Matrix& values, const std::vector<int64_t>& sees,
                       int64_t n_head);

Matrix Columns(const Matrix& matrix, int64_t first, int64_t count);
Matrix Sum(const Matrix& a, const Matrix& b);

}  // namespace tlin

#endif  // TLIN_TESTS_BACKEND_REFERENCE_OPS_H_
