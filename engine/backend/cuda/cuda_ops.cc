// CudaBackend's operations, but for attention and sampling.
#include <algorithm>

#include "engine/backend/cuda/cuda_backend.h"
#include "engine/backend/cuda/cuda_weights.h"
#include "engine/backend/cuda/kernels.h"
#include "engine/base/check.h"

namespace tlin::cuda {
namespace {

int32_t SizeOf(size_t size) { return static_cast<int32_t>(size); }

}  // namespace

void CudaBackend::Multiply(const Linear& linear, int32_t rows, bool add,
                           float* y, int64_t y_stride) {
  Enqueue("a product", [&](cudaStream_t stream) {
    return gemm_->Multiply(Cuda(linear), lane_->prepared.data(), rows, add, y,
                           y_stride, lane_->workspace, stream);
  });
}

void CudaBackend::Embed(const Linear& table, absl::Span<const TokenId> ids,
                        Rows x) {
  TLIN_CHECK(SizeOf(ids.size()) == x.rows);
  Begin(Arguments::BytesOf<TokenId>(ids.size()));
  const TokenId* const device_ids = Put(ids);
  SendArguments();
  Enqueue("embedding", [&](cudaStream_t stream) {
    return LaunchGather(dtype_, Cuda(table).weight(), Cuda(table).stride(),
                        device_ids, Padded(x.rows), shape_.n_embd, x.data,
                        stream);
  });
}

void CudaBackend::Multiply3(const LayerWeights& layer, Rows x, bool q, bool kv,
                            float* to) {
  TLIN_CHECK(x.rows <= shape_.max_rows);
  const int64_t cols = shape_.n_embd;
  const int32_t rows = Padded(x.rows);
  Begin(0);
  Enqueue("LayerNorm", [&](cudaStream_t stream) {
    return LaunchLayerNorm(dtype_, x.data, nullptr, Cuda(*layer.norm1).floats(),
                           rows, shape_.n_embd, lane_->prepared.data(),
                           prepared_stride(cols), stream);
  });
  if (q) Multiply(*layer.q, rows, /*add=*/false, to, 3 * cols);
  if (kv) Multiply(*layer.kv, rows, /*add=*/false, to + cols, 3 * cols);
}

void CudaBackend::Rotate(const float* qkv, absl::Span<const TokenId> ids,
                         absl::Span<const int32_t> positions, Rows q,
                         absl::Span<const KvRow> kv) {
  Begin(Arguments::BytesOf<TokenId>(ids.size()) +
        Arguments::BytesOf<int32_t>(positions.size()) +
        Arguments::BytesOf<KvRow>(kv.size()));
  const TokenId* const device_ids = ids.empty() ? nullptr : Put(ids);
  const int32_t* const device_positions = Put(positions);
  const KvRow* const device_kv = kv.empty() ? nullptr : Put(kv);
  SendArguments();
  Enqueue("rotation", [&](cudaStream_t stream) {
    return LaunchRotate(dtype_, heads_, qkv, device_ids, device_positions,
                        Padded(SizeOf(positions.size())),
                        frequencies_.as<float>(), q.data, device_kv, stream);
  });
}

void CudaBackend::Project(const LayerWeights& layer, Rows x,
                          absl::Span<const int32_t> positions, Rows q,
                          absl::Span<const KvRow> kv) {
  TLIN_CHECK(SizeOf(positions.size()) == x.rows);
  Multiply3(layer, x, q.data != nullptr, !kv.empty(), lane_->wide.as<float>());
  Rotate(lane_->wide.as<float>(), {}, positions, q, kv);
}

void CudaBackend::ProjectQkv(const LayerWeights& layer, Rows x,
                             absl::Span<const int32_t> positions, Rows q,
                             absl::Span<const KvRow> kv) {
  TLIN_CHECK(SizeOf(kv.size()) == x.rows && q.rows == x.rows);
  Project(layer, x, positions, q, kv);
}

void CudaBackend::ProjectQ(const LayerWeights& layer, Rows x,
                           absl::Span<const int32_t> positions, Rows q) {
  TLIN_CHECK(q.rows == x.rows);
  Project(layer, x, positions, q, {});
}

void CudaBackend::ProjectKv(const LayerWeights& layer, Rows x,
                            absl::Span<const int32_t> positions,
                            absl::Span<const KvRow> kv) {
  TLIN_CHECK(SizeOf(kv.size()) == x.rows);
  Project(layer, x, positions, Rows(), kv);
}

void CudaBackend::ProjectUnrotated(const LayerWeights& layer, Rows x,
                                   float* qkv) {
  Multiply3(layer, x, /*q=*/true, /*kv=*/true, qkv);
}

void CudaBackend::LookUpQkv(const float* table, absl::Span<const TokenId> ids,
                            absl::Span<const int32_t> positions, Rows q,
                            absl::Span<const KvRow> kv) {
  TLIN_CHECK(ids.size() == positions.size());
  TLIN_CHECK(q.data == nullptr || q.rows == SizeOf(ids.size()));
  TLIN_CHECK(kv.empty() || kv.size() == ids.size());
  Rotate(table, ids, positions, q, kv);
}

void CudaBackend::Finish(const LayerWeights& layer, Rows attended, Rows x) {
  TLIN_CHECK(x.rows <= shape_.max_rows && attended.rows == x.rows);
  const int64_t cols = shape_.n_embd;
  const int32_t rows = Padded(x.rows);
  const int64_t ffn = shape_.ffn_size;
  float* const gate_up = lane_->wide.as<float>();
  Begin(0);
  Enqueue("attention's output", [&](cudaStream_t stream) {
    return LaunchPrepare(dtype_, attended.data, rows, shape_.n_embd,
                         lane_->prepared.data(), prepared_stride(cols), stream);
  });
  Multiply(*layer.out, rows, /*add=*/true, x.data, cols);
  Enqueue("LayerNorm", [&](cudaStream_t stream) {
    return LaunchLayerNorm(dtype_, x.data, nullptr, Cuda(*layer.norm2).floats(),
                           rows, shape_.n_embd, lane_->prepared.data(),
                           prepared_stride(cols), stream);
  });
  Multiply(*layer.gate_up, rows, /*add=*/false, gate_up, 2 * ffn);
  Enqueue("SwiGLU", [&](cudaStream_t stream) {
    return LaunchSwiGlu(dtype_, gate_up, rows, shape_.ffn_size,
                        lane_->prepared.data(), prepared_stride(ffn), stream);
  });
  Multiply(*layer.down, rows, /*add=*/true, x.data, cols);
}

void CudaBackend::MultiplyLogits(const Norm& norm, const Linear& table, Rows x,
                                 absl::Span<const int32_t> row_indices) {
  const int32_t rows = SizeOf(row_indices.size());
  TLIN_CHECK(rows <= shape_.max_logit_rows);
  Begin(Arguments::BytesOf<int32_t>(row_indices.size()));
  const int32_t all_rows = Padded(rows);
  const int32_t* const indices = Put(row_indices);
  SendArguments();
  Enqueue("LayerNorm", [&](cudaStream_t stream) {
    return LaunchLayerNorm(dtype_, x.data, indices, Cuda(norm).floats(),
                           all_rows, shape_.n_embd, lane_->prepared.data(),
                           prepared_stride(shape_.n_embd), stream);
  });
  Multiply(table, all_rows, /*add=*/false, logits_.as<float>(),
           shape_.vocab_size);
}

void CudaBackend::ComputeLogits(const Norm& norm, const Linear& table, Rows x,
                                absl::Span<const int32_t> row_indices,
                                float* logits) {
  if (row_indices.empty()) return;
  MultiplyLogits(norm, table, x, row_indices);
  const auto floats =
      static_cast<int64_t>(row_indices.size()) * shape_.vocab_size;
  Note(cudaMemcpyAsync(logits, logits_.data(),
                       static_cast<size_t>(floats) * sizeof(float),
                       cudaMemcpyDeviceToHost, lane_->stream.get()),
       "logits");
}

void CudaBackend::ReadKv(const KvBlock& block, std::byte* host) {
  Begin(0);
  const int64_t row_bytes = shape_.n_embd * DTypeBytes(dtype_);
  for (int32_t first = 0; first < block.rows; first += kTransferRows) {
    const int32_t rows = std::min(kTransferRows, block.rows - first);
    const auto bytes = static_cast<size_t>(rows * row_bytes);
    Enqueue("a state", [&](cudaStream_t stream) {
      return LaunchReadKv(dtype_, heads_, block, first, rows, kv_rows_.data(),
                          stream);
    });
    Note(cudaMemcpyAsync(host + first * row_bytes, kv_rows_.data(), bytes,
                         cudaMemcpyDeviceToHost, lane_->stream.get()),
         "keys");
    Note(cudaMemcpyAsync(host + (block.rows + first) * row_bytes,
                         kv_rows_.data() + bytes, bytes, cudaMemcpyDeviceToHost,
                         lane_->stream.get()),
         "values");
  }
}

void CudaBackend::WriteKv(const std::byte* host, const KvBlock& block) {
  Begin(0);
  const int64_t row_bytes = shape_.n_embd * DTypeBytes(dtype_);
  for (int32_t first = 0; first < block.rows; first += kTransferRows) {
    const int32_t rows = std::min(kTransferRows, block.rows - first);
    const auto bytes = static_cast<size_t>(rows * row_bytes);
    Note(cudaMemcpyAsync(kv_rows_.data(), host + first * row_bytes, bytes,
                         cudaMemcpyHostToDevice, lane_->stream.get()),
         "keys");
    Note(cudaMemcpyAsync(kv_rows_.data() + bytes,
                         host + (block.rows + first) * row_bytes, bytes,
                         cudaMemcpyHostToDevice, lane_->stream.get()),
         "values");
    Enqueue("a state", [&](cudaStream_t stream) {
      return LaunchWriteKv(dtype_, heads_, kv_rows_.data(), first, rows, block,
                           stream);
    });
  }
}

void CudaBackend::Copy(const void* from, void* to, int64_t bytes) {
  Begin(0);
  Note(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes),
                       cudaMemcpyDeviceToDevice, lane_->stream.get()),
       "a copy");
}

}  // namespace tlin::cuda
