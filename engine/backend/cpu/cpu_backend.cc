#include "engine/backend/cpu/cpu_backend.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/backend/cpu/bf16.h"
#include "engine/backend/cpu/row_ops.h"
#include "engine/base/check.h"

namespace tlin {
namespace {

class CpuBuffer final : public DeviceBuffer {
 public:
  explicit CpuBuffer(AlignedBytes bytes) : bytes_(std::move(bytes)) {}
  std::byte* data() override { return bytes_.data(); }
  int64_t size() const override { return bytes_.size(); }

 private:
  AlignedBytes bytes_;
};

// Norms are small: kept in f32 whatever the dtype.
class CpuNorm final : public Norm {
 public:
  CpuNorm(const HostMatrix& weight, const HostMatrix& bias)
      : weight_(ToFloats(weight)), bias_(ToFloats(bias)) {}
  int64_t bytes() const override {
    return static_cast<int64_t>(weight_.size() + bias_.size()) * 4;
  }
  const float* weight() const { return weight_.data(); }
  const float* bias() const { return bias_.data(); }

 private:
  const std::vector<float> weight_;
  const std::vector<float> bias_;
};

const CpuLinear& Cpu(const Linear& linear) {
  return static_cast<const CpuLinear&>(linear);
}
const CpuNorm& Cpu(const Norm& norm) {
  return static_cast<const CpuNorm&>(norm);
}

// Writes a row of rotated keys and of values (f32 [n_embd] each) to its block,
// in the order that attention_kernel.h tells of.
template <typename T, typename Convert>
void StoreRow(const KvRow& place, int32_t n_embd, const float* keys,
              const float* values, Convert convert) {
  T* const block = reinterpret_cast<T*>(place.data);
  T* const key = block + int64_t{place.row / 16} * n_embd * 16 + place.row % 16;
  T* const value = block + (KvBlockRows(place.capacity) + place.row) * n_embd;
  for (int32_t i = 0; i < n_embd; ++i) {
    key[int64_t{i} * 16] = convert(keys[i]);
    value[i] = convert(values[i]);
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> CpuBackend::Create(
    const BackendShape& shape, DType dtype, int threads) {
  std::unique_ptr<CpuBackend> backend(new CpuBackend(shape, dtype, threads));
  if (backend->inputs_.data() == nullptr || backend->wide_.data() == nullptr) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no memory for the CPU backend's workspace of ",
                     shape.max_rows, " rows"));
  }
  return backend;
}

CpuBackend::CpuBackend(const BackendShape& shape, DType dtype, int threads)
    : shape_(shape),
      dtype_(dtype),
      attention_{shape.n_embd, shape.n_head, shape.n_embd / shape.n_head,
                 dtype},
      pool_(threads),
      rope_(shape.n_embd / shape.n_head, shape.max_rows),
      scratch_(static_cast<size_t>(threads)),
      inputs_(shape.max_rows *
              GemmInputBytes(std::max(shape.n_embd, shape.ffn_size), dtype)),
      wide_(int64_t{shape.max_rows} * 2 *
            std::max(shape.n_embd, shape.ffn_size) * 4) {
  TLIN_CHECK(dtype == DType::kF32 || dtype == DType::kBF16);
  for (WorkerScratch& scratch : scratch_) {
    scratch.scores.resize(kMaxQueries * kKeyChunk);
    scratch.values.resize(static_cast<size_t>(kMaxQueries) *
                          attention_.head_size);
  }
}

int64_t CpuBackend::workspace_bytes() const {
  return inputs_.size() + wide_.size() + rope_.bytes();
}

absl::StatusOr<std::unique_ptr<DeviceBuffer>> CpuBackend::Allocate(
    int64_t bytes) {
  AlignedBytes memory(bytes);
  if (memory.data() == nullptr) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no memory for ", bytes, " bytes"));
  }
  return std::make_unique<CpuBuffer>(std::move(memory));
}

absl::StatusOr<std::unique_ptr<Linear>> CpuBackend::MakeLinear(
    absl::Span<const HostMatrix> weight, const HostMatrix& bias) {
  auto linear = std::make_unique<CpuLinear>(weight, bias, dtype_);
  if (linear->empty()) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "no memory for a weight of ", linear->out(), " x ", linear->in()));
  }
  return linear;
}

absl::StatusOr<std::unique_ptr<Norm>> CpuBackend::MakeNorm(
    const HostMatrix& weight, const HostMatrix& bias) {
  return std::make_unique<CpuNorm>(weight, bias);
}

void CpuBackend::Embed(const Linear& table, absl::Span<const TokenId> ids,
                       Rows x) {
  TLIN_CHECK(static_cast<int64_t>(ids.size()) == x.rows);
  const CpuLinear& linear = Cpu(table);
  pool_.ParallelFor(x.rows, [&](int64_t row, int) {
    linear.Column(ids[row], x.data + row * shape_.n_embd);
  });
}

void CpuBackend::Normalize(const Norm& norm, Rows x,
                           absl::Span<const int32_t> indices) {
  const CpuNorm& weights = Cpu(norm);
  const int64_t n = shape_.n_embd;
  const int64_t stride = GemmInputBytes(n, dtype_);
  const int64_t rows =
      indices.empty() ? x.rows : static_cast<int64_t>(indices.size());
  TLIN_CHECK(rows <= shape_.max_rows);
  pool_.ParallelFor(rows, [&](int64_t row, int) {
    const int64_t from = indices.empty() ? row : indices[row];
    // bf16: by way of this row's own place in wide_, which no one uses now.
    auto* const input = inputs_.data() + row * stride;
    float* const normed = dtype_ == DType::kBF16
                              ? reinterpret_cast<float*>(wide_.data()) + row * n
                              : reinterpret_cast<float*>(input);
    LayerNormRow(x.data + from * n, weights.weight(), weights.bias(), n,
                 normed);
    if (dtype_ == DType::kBF16) {
      RowToBF16(normed, n, reinterpret_cast<uint16_t*>(input));
    }
  });
}

void CpuBackend::ToInputs(const float* x, int32_t rows, int64_t n) {
  const int64_t stride = GemmInputBytes(n, dtype_);
  pool_.ParallelFor(rows, [&](int64_t row, int) {
    std::byte* const input = inputs_.data() + row * stride;
    if (dtype_ == DType::kBF16) {
      RowToBF16(x + row * n, n, reinterpret_cast<uint16_t*>(input));
    } else {
      std::memcpy(input, x + row * n, static_cast<size_t>(n) * sizeof(float));
    }
  });
}

void CpuBackend::QFromNormed(const LayerWeights& layer, Rows q) {
  Gemm(Cpu(*layer.q), inputs_.data(), q.rows, q.data, &pool_);
  pool_.ParallelFor(q.rows, [&](int64_t row, int) {
    RotateRow(q.data + row * shape_.n_embd, shape_.n_head, attention_.head_size,
              rope_.cosines(static_cast<int32_t>(row)),
              rope_.sines(static_cast<int32_t>(row)));
  });
}

void CpuBackend::KvFromNormed(const LayerWeights& layer, int32_t rows,
                              absl::Span<const KvRow> kv) {
  float* const both = reinterpret_cast<float*>(wide_.data());
  const int64_t n = shape_.n_embd;
  Gemm(Cpu(*layer.kv), inputs_.data(), rows, both, &pool_);
  pool_.ParallelFor(rows, [&](int64_t row, int) {
    float* const key = both + row * 2 * n;
    RotateRow(key, shape_.n_head, attention_.head_size,
              rope_.cosines(static_cast<int32_t>(row)),
              rope_.sines(static_cast<int32_t>(row)));
    if (dtype_ == DType::kBF16) {
      StoreRow<uint16_t>(kv[row], shape_.n_embd, key, key + n, ToBF16);
    } else {
      StoreRow<float>(kv[row], shape_.n_embd, key, key + n,
                      [](float value) { return value; });
    }
  });
}

void CpuBackend::ProjectQkv(const LayerWeights& layer, Rows x,
                            absl::Span<const int32_t> positions, Rows q,
                            absl::Span<const KvRow> kv) {
  rope_.Prepare(positions, &pool_);
  Normalize(*layer.norm1, x, {});
  QFromNormed(layer, q);
  KvFromNormed(layer, x.rows, kv);
}

void CpuBackend::ProjectQ(const LayerWeights& layer, Rows x,
                          absl::Span<const int32_t> positions, Rows q) {
  rope_.Prepare(positions, &pool_);
  Normalize(*layer.norm1, x, {});
  QFromNormed(layer, q);
}

void CpuBackend::ProjectKv(const LayerWeights& layer, Rows x,
                           absl::Span<const int32_t> positions,
                           absl::Span<const KvRow> kv) {
  rope_.Prepare(positions, &pool_);
  Normalize(*layer.norm1, x, {});
  KvFromNormed(layer, x.rows, kv);
}

void CpuBackend::Finish(const LayerWeights& layer, Rows attended, Rows x) {
  const int64_t n = shape_.n_embd;
  const int64_t f = shape_.ffn_size;
  float* const wide = reinterpret_cast<float*>(wide_.data());
  const auto add_to_x = [&](int64_t row, int) {
    AddRow(wide + row * n, n, x.data + row * n);
  };
  ToInputs(attended.data, attended.rows, n);
  Gemm(Cpu(*layer.out), inputs_.data(), x.rows, wide, &pool_);
  pool_.ParallelFor(x.rows, add_to_x);

  Normalize(*layer.norm2, x, {});
  Gemm(Cpu(*layer.gate_up), inputs_.data(), x.rows, wide, &pool_);
  pool_.ParallelFor(x.rows, [&](int64_t row, int) {
    float* const gate = wide + row * 2 * f;
    SwiGluRow(gate, gate + f, f, gate);
    std::byte* const input = inputs_.data() + row * GemmInputBytes(f, dtype_);
    if (dtype_ == DType::kBF16) {
      RowToBF16(gate, f, reinterpret_cast<uint16_t*>(input));
    } else {
      std::memcpy(input, gate, static_cast<size_t>(f) * sizeof(float));
    }
  });
  Gemm(Cpu(*layer.down), inputs_.data(), x.rows, wide, &pool_);
  pool_.ParallelFor(x.rows, add_to_x);
}

void CpuBackend::ComputeLogits(const Norm& norm, const Linear& table, Rows x,
                               absl::Span<const int32_t> row_indices,
                               float* logits) {
  Normalize(norm, x, row_indices);
  Gemm(Cpu(table), inputs_.data(), static_cast<int32_t>(row_indices.size()),
       logits, &pool_);
}

void CpuBackend::Copy(const void* from, void* to, int64_t bytes) {
  std::memcpy(to, from, static_cast<size_t>(bytes));
}

}  // namespace tlin
