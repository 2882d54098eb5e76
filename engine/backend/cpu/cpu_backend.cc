#include "engine/backend/cpu/cpu_backend.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/backend/backend_shape.h"
#include "engine/backend/cpu/cpu_weights.h"
#include "engine/backend/cpu/row_ops.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"

namespace tlin {
namespace {

// Rows of a worker's task. So few are done at once by the caller: it takes less
// time than to wake a worker.
constexpr int64_t kRowsPerTask = 8;

}  // namespace

CpuBackend::CpuBackend(const BackendShape& shape, DType dtype, int threads,
                       const GemmKernels& gemm)
    : shape_(shape),
      kv_shape_{shape.n_head, shape.n_embd / shape.n_head, dtype},
      gemm_(gemm),
      rope_(kv_shape_.head_size),
      row_width_(std::max(shape.n_embd, shape.ffn_size)),
      wide_width_(
          std::max(3 * int64_t{shape.n_embd}, 2 * int64_t{shape.ffn_size})),
      pool_(threads) {}

absl::StatusOr<std::unique_ptr<Backend>> CpuBackend::Create(
    const BackendShape& shape, DType dtype, int threads,
    const GemmKernels* bf16_kernels) {
  TLIN_RETURN_IF_ERROR(CheckBackendShape(shape, dtype, "CPU"));
  if (threads < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("a CPU backend of ", threads, " threads"));
  }
  const GemmKernels& gemm = dtype == DType::kF32      ? GemmF32()
                            : bf16_kernels != nullptr ? *bf16_kernels
                                                      : FastestGemmBf16();
  std::unique_ptr<CpuBackend> backend(
      new CpuBackend(shape, dtype, threads, gemm));
  TLIN_RETURN_IF_ERROR(backend->AllocateScratch());
  return backend;
}

absl::Status CpuBackend::AllocateScratch() {
  constexpr int64_t kWord = 4;
  const int64_t rows = std::max(shape_.max_rows, shape_.max_logit_rows);
  const int64_t stride = std::max(PreparedStride(gemm_, shape_.n_embd),
                                  PreparedStride(gemm_, shape_.ffn_size));
  TLIN_ASSIGN_OR_RETURN(prepared_,
                        AlignedBuffer::Allocate(rows * stride * kWord));
  TLIN_ASSIGN_OR_RETURN(wide_,
                        AlignedBuffer::Allocate(rows * wide_width_ * kWord));
  TLIN_ASSIGN_OR_RETURN(
      worker_rows_,
      AlignedBuffer::Allocate(2 * row_width_ * pool_.threads() * kWord));
  TLIN_ASSIGN_OR_RETURN(CpuAttention attention,
                        CpuAttention::Create(kv_shape_, gemm_, &pool_));
  attention_ = std::make_unique<CpuAttention>(std::move(attention));
  TLIN_ASSIGN_OR_RETURN(logits_,
                        AlignedBuffer::Allocate(int64_t{shape_.max_logit_rows} *
                                                shape_.vocab_size * kWord));
  for (int i = 0; i < pool_.threads(); ++i) {
    samplers_.emplace_back(shape_.vocab_size);
  }
  return absl::OkStatus();
}

int64_t CpuBackend::workspace_bytes() const {
  return prepared_.size() + wide_.size() + worker_rows_.size() +
         attention_->bytes() + logits_.size() +
         pool_.threads() * samplers_.front().bytes();
}

absl::StatusOr<std::unique_ptr<DeviceBuffer>> CpuBackend::Allocate(
    int64_t bytes) {
  TLIN_ASSIGN_OR_RETURN(AlignedBuffer memory, AlignedBuffer::Allocate(bytes));
  return std::make_unique<CpuBuffer>(std::move(memory));
}

absl::StatusOr<std::unique_ptr<Linear>> CpuBackend::MakeLinear(
    absl::Span<const HostMatrix> weight, const HostMatrix& bias) {
  TLIN_ASSIGN_OR_RETURN(PackedMatrix matrix,
                        PackedMatrix::Pack(weight, bias, dtype()));
  return std::make_unique<CpuLinear>(std::move(matrix));
}

absl::StatusOr<std::unique_ptr<Norm>> CpuBackend::MakeNorm(
    const HostMatrix& weight, const HostMatrix& bias) {
  return CpuNorm::Create(weight, bias, shape_.n_embd);
}

template <class Task>
void CpuBackend::ForRows(int64_t rows, const Task& task) {
  const int64_t tasks = (rows + kRowsPerTask - 1) / kRowsPerTask;
  pool_.ParallelFor(tasks, [&](int64_t index, int worker) {
    const int64_t end = std::min(rows, (index + 1) * kRowsPerTask);
    for (int64_t row = index * kRowsPerTask; row < end; ++row) {
      task(row, worker);
    }
  });
}

uint32_t* CpuBackend::PreparedRow(int64_t row, int64_t cols) {
  return reinterpret_cast<uint32_t*>(prepared_.data()) +
         row * PreparedStride(gemm_, cols);
}

PreparedRows CpuBackend::Prepared(int64_t rows, int64_t cols) {
  return {PreparedRow(0, cols), PreparedStride(gemm_, cols), rows};
}

float* CpuBackend::Wide(int64_t row, int64_t cols) {
  return reinterpret_cast<float*>(wide_.data()) + row * cols;
}

float* CpuBackend::WorkerRow(int worker) {
  return reinterpret_cast<float*>(worker_rows_.data()) +
         2 * worker * row_width_;
}

void CpuBackend::PrepareNormed(const Norm& norm, Rows x,
                               absl::Span<const int32_t> indices) {
  const CpuNorm& weights = Cpu(norm);
  const int64_t cols = shape_.n_embd;
  const int64_t rows = indices.empty() ? x.rows : indices.size();
  ForRows(rows, [&](int64_t row, int worker) {
    const int64_t from = indices.empty() ? row : indices[row];
    LayerNormRow(x.data + from * cols, weights.weight(), weights.bias(), cols,
                 WorkerRow(worker));
    gemm_.prepare(WorkerRow(worker), cols, PreparedRow(row, cols));
  });
}

void CpuBackend::Embed(const Linear& table, absl::Span<const TokenId> ids,
                       Rows x) {
  TLIN_CHECK(static_cast<int64_t>(ids.size()) == x.rows);
  ForRows(x.rows, [&](int64_t row, int) {
    Packed(table).Gather(ids[row], x.data + row * shape_.n_embd);
  });
}

void CpuBackend::Multiply3(const LayerWeights& layer, Rows x, bool q, bool kv,
                           float* to) {
  TLIN_CHECK(x.rows <= shape_.max_rows);
  const int64_t cols = shape_.n_embd;
  PrepareNormed(*layer.norm1, x, {});
  GemmOutput outputs[2];
  size_t count = 0;
  if (q) outputs[count++] = {&Packed(*layer.q), to, 3 * cols};
  if (kv) outputs[count++] = {&Packed(*layer.kv), to + cols, 3 * cols};
  Multiply(gemm_, Prepared(x.rows, cols), absl::MakeConstSpan(outputs, count),
           pool_);
}

// One parallel loop makes q, k and v; a second one turns them and puts them in
// place.
void CpuBackend::Project(const LayerWeights& layer, Rows x,
                         absl::Span<const int32_t> positions, Rows q,
                         absl::Span<const KvRow> kv) {
  TLIN_CHECK(static_cast<int64_t>(positions.size()) == x.rows);
  const int64_t width = 3 * int64_t{shape_.n_embd};
  Multiply3(layer, x, q.data != nullptr, !kv.empty(), Wide(0, width));
  Rotate(
      positions, [&](int64_t row) { return Wide(row, width); }, q, kv);
}

void CpuBackend::ProjectUnrotated(const LayerWeights& layer, Rows x,
                                  float* qkv) {
  Multiply3(layer, x, /*q=*/true, /*kv=*/true, qkv);
}

void CpuBackend::LookUpQkv(const float* table, absl::Span<const TokenId> ids,
                           absl::Span<const int32_t> positions, Rows q,
                           absl::Span<const KvRow> kv) {
  TLIN_CHECK(ids.size() == positions.size());
  TLIN_CHECK(q.data == nullptr || q.rows == static_cast<int64_t>(ids.size()));
  TLIN_CHECK(kv.empty() || kv.size() == ids.size());
  const int64_t width = 3 * int64_t{shape_.n_embd};
  Rotate(
      positions, [&](int64_t row) { return table + ids[row] * width; }, q, kv);
}

template <class QkvOf>
void CpuBackend::Rotate(absl::Span<const int32_t> positions,
                        const QkvOf& qkv_of, Rows q,
                        absl::Span<const KvRow> kv) {
  const int64_t cols = shape_.n_embd;
  ForRows(static_cast<int64_t>(positions.size()), [&](int64_t row, int worker) {
    float* turn = WorkerRow(worker);
    float* key = turn + row_width_;
    const float* projected = qkv_of(row);
    rope_.MakeTurn(positions[row], turn);
    if (q.data != nullptr) {
      rope_.Rotate(projected, shape_.n_head, turn, q.data + row * cols);
    }
    if (!kv.empty()) {
      rope_.Rotate(projected + cols, shape_.n_head, turn, key);
      WriteKvRow(kv_shape_, key, projected + 2 * cols, kv[row]);
    }
  });
}

void CpuBackend::ProjectQkv(const LayerWeights& layer, Rows x,
                            absl::Span<const int32_t> positions, Rows q,
                            absl::Span<const KvRow> kv) {
  TLIN_CHECK(static_cast<int64_t>(kv.size()) == x.rows && q.rows == x.rows);
  Project(layer, x, positions, q, kv);
}

void CpuBackend::ProjectQ(const LayerWeights& layer, Rows x,
                          absl::Span<const int32_t> positions, Rows q) {
  TLIN_CHECK(q.rows == x.rows);
  Project(layer, x, positions, q, {});
}

void CpuBackend::ProjectKv(const LayerWeights& layer, Rows x,
                           absl::Span<const int32_t> positions,
                           absl::Span<const KvRow> kv) {
  TLIN_CHECK(static_cast<int64_t>(kv.size()) == x.rows);
  Project(layer, x, positions, Rows(), kv);
}

void CpuBackend::Finish(const LayerWeights& layer, Rows attended, Rows x) {
  TLIN_CHECK(x.rows <= shape_.max_rows && attended.rows == x.rows);
  const int64_t cols = shape_.n_embd;
  const int64_t ffn = shape_.ffn_size;
  ForRows(x.rows, [&](int64_t row, int) {
    gemm_.prepare(attended.data + row * cols, cols, PreparedRow(row, cols));
  });
  const GemmOutput out = {&Packed(*layer.out), x.data, cols, /*add=*/true};
  Multiply(gemm_, Prepared(x.rows, cols), {&out, 1}, pool_);

  PrepareNormed(*layer.norm2, x, {});
  const GemmOutput gate_up = {&Packed(*layer.gate_up), Wide(0, 2 * ffn),
                              2 * ffn};
  Multiply(gemm_, Prepared(x.rows, cols), {&gate_up, 1}, pool_);

  ForRows(x.rows, [&](int64_t row, int) {
    float* gate = Wide(row, 2 * ffn);
    SwiGluRow(gate, gate + ffn, ffn, gate);
    gemm_.prepare(gate, ffn, PreparedRow(row, ffn));
  });
  const GemmOutput down = {&Packed(*layer.down), x.data, cols, /*add=*/true};
  Multiply(gemm_, Prepared(x.rows, ffn), {&down, 1}, pool_);
}

void CpuBackend::AttendWindow(Rows q, absl::Span<const WindowPart> parts,
                              Rows out) {
  attention_->AttendWindow(q, parts, out);
}

void CpuBackend::Attend(Rows q, const KvBlock& keys, Rows out) {
  attention_->Attend(q, keys, out);
}

int64_t CpuBackend::PartialBytes(int32_t rows) const {
  return attention_->PartialBytes(rows);
}

void CpuBackend::ResetPartial(int32_t rows, std::byte* partial) {
  attention_->ResetPartial(rows, partial);
}

void CpuBackend::AccumulateAttention(Rows q, const KvBlock& keys,
                                     std::byte* partial) {
  attention_->AccumulateAttention(q, keys, partial);
}

void CpuBackend::FinishPartial(const std::byte* partial, Rows out) {
  attention_->FinishPartial(partial, /*add=*/false, out);
}

void CpuBackend::AddPartial(const std::byte* partial, Rows out) {
  attention_->FinishPartial(partial, /*add=*/true, out);
}

void CpuBackend::LoadPartial(const PartialRing& ring, int32_t first_query,
                             int32_t rows, std::byte* partial) {
  attention_->LoadPartial(ring, first_query, rows, partial);
}

void CpuBackend::StorePartial(const std::byte* partial, int32_t rows,
                              const PartialRing& ring, int32_t first_query) {
  attention_->StorePartial(partial, rows, ring, first_query);
}

void CpuBackend::ComputeLogits(const Norm& norm, const Linear& table, Rows x,
                               absl::Span<const int32_t> row_indices,
                               float* logits) {
  const int64_t rows = static_cast<int64_t>(row_indices.size());
  if (rows == 0) return;
  TLIN_CHECK(rows <= std::max(shape_.max_rows, shape_.max_logit_rows));
  PrepareNormed(norm, x, row_indices);
  const GemmOutput output = {&Packed(table), logits, shape_.vocab_size};
  Multiply(gemm_, Prepared(rows, shape_.n_embd), {&output, 1}, pool_);
}

void CpuBackend::SampleTokens(const Norm& norm, const Linear& table, Rows x,
                              absl::Span<const int32_t> row_indices,
                              absl::Span<const SampleRow> samples,
                              SampledToken* tokens) {
  TLIN_CHECK(samples.size() == row_indices.size());
  auto* const logits = reinterpret_cast<float*>(logits_.data());
  ComputeLogits(norm, table, x, row_indices, logits);
  const auto vocab = static_cast<size_t>(shape_.vocab_size);
  const auto sample = [&](int64_t row, int worker) {
    const auto i = static_cast<size_t>(row);
    samplers_[static_cast<size_t>(worker)].Sample({logits + i * vocab, vocab},
                                                  samples[i], &tokens[i]);
  };
  pool_.ParallelFor(static_cast<int64_t>(samples.size()), sample);
}

void CpuBackend::ReadKv(const KvBlock& block, std::byte* host) {
  const int64_t row_bytes = shape_.n_embd * DTypeBytes(dtype());
  std::byte* const values = host + block.rows * row_bytes;
  ForRows(block.rows, [&](int64_t row, int) {
    UnpackKvRow(kv_shape_,
                {block.data, block.capacity, static_cast<int32_t>(row)},
                host + row * row_bytes, values + row * row_bytes);
  });
}

void CpuBackend::WriteKv(const std::byte* host, const KvBlock& block) {
  const int64_t row_bytes = shape_.n_embd * DTypeBytes(dtype());
  const std::byte* const values = host + block.rows * row_bytes;
  ForRows(block.rows, [&](int64_t row, int) {
    PackKvRow(kv_shape_, host + row * row_bytes, values + row * row_bytes,
              {block.data, block.capacity, static_cast<int32_t>(row)});
  });
}

void CpuBackend::Copy(const void* from, void* to, int64_t bytes) {
  std::memcpy(to, from, static_cast<size_t>(bytes));
}

absl::Status CpuBackend::Synchronize() { return absl::OkStatus(); }

}  // namespace tlin
