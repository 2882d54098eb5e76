#include "engine/backend/cpu/gemm.h"

#include <algorithm>
#include <cstring>

#include "engine/backend/cpu/bf16.h"
#include "engine/backend/cpu/gemm_kernel.h"
#include "engine/base/check.h"

namespace tlin {
namespace {

// Rows that share one pass over a panel: with K = 1280 in f32 they take 240 KB,
// which stays in the second-level cache beside the panel.
constexpr int32_t kRowsPerTask = 48;

float Element(const HostMatrix& matrix, int64_t index) {
  switch (matrix.dtype) {
    case DType::kF32: {
      float value;
      std::memcpy(&value,
                  static_cast<const std::byte*>(matrix.data) + index * 4, 4);
      return value;
    }
    case DType::kBF16:
    case DType::kF16: {
      uint16_t value;
      std::memcpy(&value,
                  static_cast<const std::byte*>(matrix.data) + index * 2, 2);
      return matrix.dtype == DType::kBF16 ? FromBF16(value) : FromF16(value);
    }
  }
  return 0;
}

}  // namespace

CpuLinear::CpuLinear(absl::Span<const HostMatrix> parts, const HostMatrix& bias,
                     DType dtype)
    : dtype_(dtype) {
  TLIN_CHECK(!parts.empty());
  in_ = parts[0].cols;
  for (const HostMatrix& part : parts) out_ += part.rows;
  weights_ = AlignedBytes(panels() * panel_bytes());
  bias_.assign(static_cast<size_t>(panels() * kPanelColumns), 0.0f);
  if (empty()) return;

  int64_t column = 0;
  for (const HostMatrix& part : parts) {
    for (int64_t row = 0; row < part.rows; ++row, ++column) {
      std::byte* const place = weights_.data() +
                               column / kPanelColumns * panel_bytes() +
                               column % kPanelColumns * 4;
      for (int64_t k = 0; k < in_; ++k) {
        const float value = Element(part, row * in_ + k);
        if (dtype_ == DType::kBF16) {
          const uint16_t half = ToBF16(value);
          std::memcpy(place + k / 2 * kPanelColumns * 4 + k % 2 * 2, &half, 2);
        } else {
          std::memcpy(place + k * kPanelColumns * 4, &value, 4);
        }
      }
    }
  }
  if (bias.data != nullptr) {
    for (int64_t i = 0; i < out_; ++i) bias_[i] = Element(bias, i);
  }
}

int64_t CpuLinear::bytes() const {
  return weights_.size() + static_cast<int64_t>(bias_.size()) * 4;
}

void CpuLinear::Column(int64_t column, float* values) const {
  const std::byte* const place =
      panel(column / kPanelColumns) + column % kPanelColumns * 4;
  for (int64_t k = 0; k < in_; ++k) {
    if (dtype_ == DType::kBF16) {
      uint16_t half;
      std::memcpy(&half, place + k / 2 * kPanelColumns * 4 + k % 2 * 2, 2);
      values[k] = FromBF16(half);
    } else {
      std::memcpy(values + k, place + k * kPanelColumns * 4, 4);
    }
  }
}

std::vector<float> ToFloats(const HostMatrix& matrix) {
  std::vector<float> values(static_cast<size_t>(matrix.rows * matrix.cols));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = Element(matrix, static_cast<int64_t>(i));
  }
  return values;
}

int64_t GemmInputBytes(int64_t in, DType dtype) {
  return dtype == DType::kBF16 ? (in + 1) / 2 * 4 : in * 4;
}

void Gemm(const CpuLinear& linear, const std::byte* x, int32_t rows, float* y,
          WorkerPool* pool) {
  const int64_t x_stride = GemmInputBytes(linear.in(), linear.dtype());
  const int64_t out = linear.out();
  const int64_t row_tasks = (rows + kRowsPerTask - 1) / kRowsPerTask;
  // Neighbouring tasks share a panel, which is then read from memory once.
  pool->ParallelFor(linear.panels() * row_tasks, [&](int64_t task, int) {
    const int64_t panel_index = task / row_tasks;
    const auto first = static_cast<int32_t>(task % row_tasks) * kRowsPerTask;
    const int32_t count = std::min(kRowsPerTask, rows - first);
    const GemmPanel panel{linear.panel(panel_index), linear.bias(panel_index),
                          linear.steps(), linear.dtype()};
    const int64_t column = panel_index * kPanelColumns;
    const std::byte* const x_rows = x + first * x_stride;
    float* const y_rows = y + first * out + column;
    if (column + kPanelColumns <= out) {
      RunPanelKernel(panel, x_rows, x_stride, count, y_rows, out);
      return;
    }
    // The last panel is wider than the rows of y.
    float whole[kRowsPerTask * kPanelColumns];
    RunPanelKernel(panel, x_rows, x_stride, count, whole, kPanelColumns);
    for (int32_t row = 0; row < count; ++row) {
      std::memcpy(y_rows + row * out, whole + row * kPanelColumns,
                  static_cast<size_t>(out - column) * sizeof(float));
    }
  });
}

}  // namespace tlin
