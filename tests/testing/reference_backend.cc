#include "tests/testing/reference_backend.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "engine/base/check.h"
#include "engine/sampling/sampler.h"

namespace tlin {
namespace {

class HostBuffer final : public DeviceBuffer {
 public:
  explicit HostBuffer(int64_t bytes)
      : size_(bytes), lines_(static_cast<size_t>((bytes + 63) / 64)) {}
  std::byte* data() override {
    return reinterpret_cast<std::byte*>(lines_.data());
  }
  int64_t size() const override { return size_; }

 private:
  struct alignas(64) Line {
    std::byte bytes[64] = {};
  };
  const int64_t size_;
  std::vector<Line> lines_;
};

std::vector<float> Values(const HostMatrix& matrix) {
  TLIN_CHECK(matrix.dtype == DType::kF32);
  std::vector<float> values(static_cast<size_t>(matrix.rows * matrix.cols));
  if (!values.empty()) {
    std::memcpy(values.data(), matrix.data, values.size() * sizeof(float));
  }
  return values;
}

struct PlainLinear final : Linear {
  int64_t bytes() const override {
    return static_cast<int64_t>((weight.size() + bias.size()) * sizeof(float));
  }
  int64_t out = 0;
  int64_t in = 0;
  std::vector<float> weight;
  std::vector<float> bias;  // or empty
};

struct PlainNorm final : Norm {
  int64_t bytes() const override {
    return static_cast<int64_t>(2 * weight.size() * sizeof(float));
  }
  std::vector<float> weight;
  std::vector<float> bias;
};

const PlainLinear& Plain(const Linear& linear) {
  return static_cast<const PlainLinear&>(linear);
}

std::vector<float> Multiply(const Linear& linear, const std::vector<float>& x) {
  const PlainLinear& w = Plain(linear);
  TLIN_CHECK(static_cast<int64_t>(x.size()) == w.in);
  std::vector<float> y(static_cast<size_t>(w.out));
  for (int64_t o = 0; o < w.out; ++o) {
    double sum = w.bias.empty() ? 0.0 : w.bias[o];
    for (int64_t i = 0; i < w.in; ++i) {
      sum += double{w.weight[o * w.in + i]} * x[i];
    }
    y[o] = static_cast<float>(sum);
  }
  return y;
}

double Flops(const Linear& linear) {
  return 2.0 * static_cast<double>(Plain(linear).out * Plain(linear).in);
}

std::vector<float> LayerNorm(const Norm& norm, const float* x) {
  const auto& n = static_cast<const PlainNorm&>(norm);
  const size_t width = n.weight.size();
  double mean = 0;
  for (size_t i = 0; i < width; ++i) mean += x[i];
  mean /= static_cast<double>(width);
  double variance = 0;
  for (size_t i = 0; i < width; ++i) variance += (x[i] - mean) * (x[i] - mean);
  variance /= static_cast<double>(width);
  std::vector<float> y(width);
  for (size_t i = 0; i < width; ++i) {
    y[i] = static_cast<float>(
        (x[i] - mean) / std::sqrt(variance + 1e-5) * n.weight[i] + n.bias[i]);
  }
  return y;
}

void Add(const std::vector<float>& y, float* x) {
  for (size_t i = 0; i < y.size(); ++i) x[i] += y[i];
}

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceBuffer>> ReferenceBackend::Allocate(
    int64_t bytes) {
  return std::make_unique<HostBuffer>(bytes);
}

absl::StatusOr<std::unique_ptr<Linear>> ReferenceBackend::MakeLinear(
    absl::Span<const HostMatrix> weight, const HostMatrix& bias) {
  auto linear = std::make_unique<PlainLinear>();
  for (const HostMatrix& part : weight) {
    const std::vector<float> values = Values(part);
    linear->in = part.cols;
    linear->out += part.rows;
    linear->weight.insert(linear->weight.end(), values.begin(), values.end());
  }
  linear->bias = Values(bias);
  return linear;
}

absl::StatusOr<std::unique_ptr<Norm>> ReferenceBackend::MakeNorm(
    const HostMatrix& weight, const HostMatrix& bias) {
  auto norm = std::make_unique<PlainNorm>();
  norm->weight = Values(weight);
  norm->bias = Values(bias);
  return norm;
}

void ReferenceBackend::Embed(const Linear& table, absl::Span<const TokenId> ids,
                             Rows x) {
  for (size_t i = 0; i < ids.size(); ++i) {
    TLIN_CHECK(ids[i] >= 0 && ids[i] < shape_.vocab_size);
    const float* row = &Plain(table).weight[int64_t{ids[i]} * shape_.n_embd];
    std::copy_n(row, shape_.n_embd, x.data + i * shape_.n_embd);
  }
}

// MODEL, "Pieces": the angle is the f32 product of f32 position and frequency.
void ReferenceBackend::Rotate(int32_t position, float* row) const {
  for (int32_t i = 0; i < shape_.n_embd; i += 2) {
    const double exponent = -double(i % head_size()) / head_size();
    const float angle = static_cast<float>(position) *
                        static_cast<float>(std::pow(10000.0, exponent));
    const double c = std::cos(double{angle});
    const double s = std::sin(double{angle});
    const double a = row[i];
    const double b = row[i + 1];
    row[i] = static_cast<float>(a * c - b * s);
    row[i + 1] = static_cast<float>(a * s + b * c);
  }
}

void ReferenceBackend::ProjectQkv(const LayerWeights& layer, Rows x,
                                  absl::Span<const int32_t> positions, Rows q,
                                  absl::Span<const KvRow> kv) {
  ProjectQ(layer, x, positions, q);
  ProjectKv(layer, x, positions, kv);
}

void ReferenceBackend::ProjectQ(const LayerWeights& layer, Rows x,
                                absl::Span<const int32_t> positions, Rows q) {
  TLIN_CHECK(x.rows <= shape_.max_rows);
  for (int32_t i = 0; i < x.rows; ++i) {
    const int64_t at = int64_t{i} * shape_.n_embd;
    std::vector<float> row =
        Multiply(*layer.q, LayerNorm(*layer.norm1, x.data + at));
    Rotate(positions[i], row.data());
    std::copy(row.begin(), row.end(), q.data + at);
    product_flops_ += Flops(*layer.q);
  }
}

void ReferenceBackend::ProjectKv(const LayerWeights& layer, Rows x,
                                 absl::Span<const int32_t> positions,
                                 absl::Span<const KvRow> kv) {
  TLIN_CHECK(x.rows <= shape_.max_rows);
  for (int32_t i = 0; i < x.rows; ++i) {
    std::vector<float> row =
        Multiply(*layer.kv,
                 LayerNorm(*layer.norm1, x.data + int64_t{i} * shape_.n_embd));
    Rotate(positions[i], row.data());
    TLIN_CHECK(kv[i].row >= 0 && kv[i].row < kv[i].capacity);
    std::copy(row.begin(), row.end(),
              reinterpret_cast<float*>(kv[i].data) +
                  int64_t{kv[i].row} * 2 * shape_.n_embd);
    product_flops_ += Flops(*layer.kv);
  }
}

void ReferenceBackend::ProjectUnrotated(const LayerWeights& layer, Rows x,
                                        float* qkv) {
  for (int32_t i = 0; i < x.rows; ++i) {
    const std::vector<float> normed =
        LayerNorm(*layer.norm1, x.data + int64_t{i} * shape_.n_embd);
    for (const Linear* part : {layer.q.get(), layer.kv.get()}) {
      const std::vector<float> row = Multiply(*part, normed);
      qkv = std::copy(row.begin(), row.end(), qkv);
      product_flops_ += Flops(*part);
    }
  }
}

void ReferenceBackend::LookUpQkv(const float* table,
                                 absl::Span<const TokenId> ids,
                                 absl::Span<const int32_t> positions, Rows q,
                                 absl::Span<const KvRow> kv) {
  const int64_t width = shape_.n_embd;
  for (size_t i = 0; i < ids.size(); ++i) {
    const float* const from = table + ids[i] * 3 * width;
    if (q.data != nullptr) {
      float* const to = q.data + static_cast<int64_t>(i) * width;
      std::copy_n(from, width, to);
      Rotate(positions[i], to);
    }
    if (!kv.empty()) {
      float* const to =
          reinterpret_cast<float*>(kv[i].data) + int64_t{kv[i].row} * 2 * width;
      std::copy_n(from + width, 2 * width, to);
      Rotate(positions[i], to);
    }
  }
}

void ReferenceBackend::Finish(const LayerWeights& layer, Rows attended,
                              Rows x) {
  TLIN_CHECK(x.rows <= shape_.max_rows && attended.rows == x.rows);
  const auto ffn = static_cast<size_t>(shape_.ffn_size);
  for (int32_t i = 0; i < x.rows; ++i) {
    float* row = x.data + int64_t{i} * shape_.n_embd;
    const float* from = attended.data + int64_t{i} * shape_.n_embd;
    Add(Multiply(*layer.out, std::vector<float>(from, from + shape_.n_embd)),
        row);
    std::vector<float> gate =
        Multiply(*layer.gate_up, LayerNorm(*layer.norm2, row));
    for (size_t j = 0; j < ffn; ++j) {
      const double g = gate[j];
      gate[j] = static_cast<float>(g / (1 + std::exp(-g)) * gate[ffn + j]);
    }
    gate.resize(ffn);
    Add(Multiply(*layer.down, gate), row);
    product_flops_ +=
        Flops(*layer.out) + Flops(*layer.gate_up) + Flops(*layer.down);
  }
}

void ReferenceBackend::ComputeLogits(const Norm& norm, const Linear& table,
                                     Rows x,
                                     absl::Span<const int32_t> row_indices,
                                     float* logits) {
  TLIN_CHECK(static_cast<int32_t>(row_indices.size()) <= shape_.max_logit_rows);
  for (const int32_t row : row_indices) {
    const std::vector<float> y =
        Multiply(table, LayerNorm(norm, x.data + int64_t{row} * shape_.n_embd));
    logits = std::copy(y.begin(), y.end(), logits);
    product_flops_ += Flops(table);
  }
}

void ReferenceBackend::SampleTokens(const Norm& norm, const Linear& table,
                                    Rows x,
                                    absl::Span<const int32_t> row_indices,
                                    absl::Span<const SampleRow> samples,
                                    SampledToken* tokens) {
  const auto vocab = static_cast<size_t>(shape_.vocab_size);
  std::vector<float> logits(samples.size() * vocab);
  ComputeLogits(norm, table, x, row_indices, logits.data());
  Sampler sampler(shape_.vocab_size);
  for (size_t i = 0; i < samples.size(); ++i) {
    sampler.Sample(absl::MakeConstSpan(logits).subspan(i * vocab, vocab),
                   samples[i], &tokens[i]);
  }
}

void ReferenceBackend::ReadKv(const KvBlock& block, std::byte* host) {
  const int64_t bytes = shape_.n_embd * static_cast<int64_t>(sizeof(float));
  for (int64_t row = 0; row < block.rows; ++row) {
    const std::byte* const from = block.data + 2 * row * bytes;
    std::memcpy(host + row * bytes, from, bytes);
    std::memcpy(host + (block.rows + row) * bytes, from + bytes, bytes);
  }
}

void ReferenceBackend::WriteKv(const std::byte* host, const KvBlock& block) {
  const int64_t bytes = shape_.n_embd * static_cast<int64_t>(sizeof(float));
  for (int64_t row = 0; row < block.rows; ++row) {
    std::byte* const to = block.data + 2 * row * bytes;
    std::memcpy(to, host + row * bytes, bytes);
    std::memcpy(to + bytes, host + (block.rows + row) * bytes, bytes);
  }
}

void ReferenceBackend::Copy(const void* from, void* to, int64_t bytes) {
  std::memcpy(to, from, static_cast<size_t>(bytes));
}

}  // namespace tlin
