#include "tests/backend/reference_ops.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace tlin {

Matrix RandomMatrix(int64_t rows, int64_t cols, double limit,
                    std::mt19937& random) {
  Matrix matrix(rows, cols);
  for (double& value : matrix.values) {
    value = static_cast<float>(limit * (std::ldexp(random(), -31) - 1));
  }
  return matrix;
}

double Round(double value, DType dtype) {
  const float nearest = static_cast<float>(value);
  if (dtype == DType::kF32) return nearest;
  const uint32_t bits = std::bit_cast<uint32_t>(nearest);
  const uint32_t even = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000;
  return std::bit_cast<float>(even);
}

Matrix Round(Matrix matrix, DType dtype) {
  for (double& value : matrix.values) value = Round(value, dtype);
  return matrix;
}

std::vector<float> ToFloats(const Matrix& matrix) {
  return std::vector<float>(matrix.values.begin(), matrix.values.end());
}

Matrix ReferenceNorm(const Matrix& x, const Matrix& weight,
                     const Matrix& bias) {
  Matrix out(x.rows, x.cols);
  for (int64_t row = 0; row < x.rows; ++row) {
    double mean = 0;
    for (int64_t i = 0; i < x.cols; ++i) mean += x.at(row, i) / x.cols;
    double variance = 0;
    for (int64_t i = 0; i < x.cols; ++i) {
      variance += (x.at(row, i) - mean) * (x.at(row, i) - mean) / x.cols;
    }
    for (int64_t i = 0; i < x.cols; ++i) {
      out.at(row, i) =
          (x.at(row, i) - mean) / std::sqrt(variance + 1e-5) * weight.at(0, i) +
          bias.at(0, i);
    }
  }
  return out;
}

Matrix ReferenceLinear(const Matrix& x, const Matrix& weight,
                       const Matrix& bias) {
  Matrix out(x.rows, weight.rows);
  for (int64_t row = 0; row < x.rows; ++row) {
    for (int64_t i = 0; i < weight.rows; ++i) {
      double sum = bias.values.empty() ? 0 : bias.at(0, i);
      for (int64_t k = 0; k < x.cols; ++k) {
        sum += x.at(row, k) * weight.at(i, k);
      }
      out.at(row, i) = sum;
    }
  }
  return out;
}

Matrix ReferenceRope(const Matrix& x, const std::vector<int32_t>& positions,
                     int64_t n_head) {
  const int64_t head_size = x.cols / n_head;
  Matrix out(x.rows, x.cols);
  for (int64_t row = 0; row < x.rows; ++row) {
    for (int64_t i = 0; i < x.cols; i += 2) {
      const float exponent =
          static_cast<float>(i % head_size) / static_cast<float>(head_size);
      const float frequency = 1.0f / std::pow(10000.0f, exponent);
      const float angle = static_cast<float>(positions[row]) * frequency;
      const double cosine = std::cos(static_cast<double>(angle));
      const double sine = std::sin(static_cast<double>(angle));
      out.at(row, i) = x.at(row, i) * cosine - x.at(row, i + 1) * sine;
      out.at(row, i + 1) = x.at(row, i) * sine + x.at(row, i + 1) * cosine;
    }
  }
  return out;
}

Matrix ReferenceSwiGlu(const Matrix& gate_up) {
  const int64_t size = gate_up.cols / 2;
  Matrix out(gate_up.rows, size);
  for (int64_t row = 0; row < gate_up.rows; ++row) {
    for (int64_t i = 0; i < size; ++i) {
      const double gate = gate_up.at(row, i);
      out.at(row, i) = gate / (1 + std::exp(-gate)) * gate_up.at(row, size + i);
    }
  }
  return out;
}

Matrix ReferenceAttend(const Matrix& q, const Matrix& keys,
                       const Matrix& values, const std::vector<int64_t>& sees,
                       int64_t n_head) {
  const int64_t head_size = q.cols / n_head;
  Matrix out(q.rows, q.cols);
  for (int64_t row = 0; row < q.rows; ++row) {
    for (int64_t head = 0; head < n_head; ++head) {
      std::vector<double> weights(sees[row]);
      for (int64_t key = 0; key < sees[row]; ++key) {
        double dot = 0;
        for (int64_t i = head * head_size; i < (head + 1) * head_size; ++i) {
          dot += q.at(row, i) * keys.at(key, i);
        }
        weights[key] = dot / std::sqrt(static_cast<double>(head_size));
      }
      const double maximum = *std::max_element(weights.begin(), weights.end());
      double sum = 0;
      for (double& weight : weights) {
        weight = std::exp(weight - maximum);
        sum += weight;
      }
      for (int64_t i = head * head_size; i < (head + 1) * head_size; ++i) {
        for (int64_t key = 0; key < sees[row]; ++key) {
          out.at(row, i) += weights[key] / sum * values.at(key, i);
        }
      }
    }
  }
  return out;
}

Matrix Columns(const Matrix& matrix, int64_t first, int64_t count) {
  Matrix out(matrix.rows, count);
  for (int64_t row = 0; row < matrix.rows; ++row) {
    std::copy_n(matrix.row(row) + first, count, out.row(row));
  }
  return out;
}

Matrix Sum(const Matrix& a, const Matrix& b) {
  Matrix out = a;
  for (size_t i = 0; i < out.values.size(); ++i) out.values[i] += b.values[i];
  return out;
}

}  // namespace tlin
