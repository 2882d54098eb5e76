#include "engine/backend/cuda/cuda_backend.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/backend/backend_shape.h"
#include "engine/backend/cuda/cuda_status.h"
#include "engine/backend/cuda/cuda_weights.h"
#include "engine/backend/cuda/kernels.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"

namespace tlin::cuda {
namespace {

constexpr int64_t kFloatBytes = sizeof(float);
// Rows of a block that are on their way to or from the host at once.
constexpr int32_t kTransferRows = 256;
// What the operations of a step bring along, a row; beyond that Begin waits.
// Some 128 bytes in each of 64 layers.
constexpr int64_t kArgumentBytesPerRow = 8 << 10;

// mma and cp.async of bf16.
constexpr int kLeastCapability = 8;

template <class T>
int64_t BytesOf(absl::Span<const T> values) {
  return Arguments::RoundUp(static_cast<int64_t>(sizeof(T) * values.size()));
}

int32_t SizeOf(size_t size) { return static_cast<int32_t>(size); }

}  // namespace

CudaBackend::CudaBackend(int device, DType dtype, const BackendShape& shape)
    : device_(device),
      dtype_(dtype),
      shape_(shape),
      heads_{shape.n_head, shape.n_embd / shape.n_head},
      attention_(dtype == DType::kF32 ? AttentionOpsF32() : AttentionOpsBf16()),
      thread_(std::this_thread::get_id()) {}

CudaBackend::~CudaBackend() {
  if (stream_ != nullptr) cudaStreamDestroy(stream_);
}

absl::StatusOr<std::unique_ptr<Backend>> CudaBackend::Create(
    int device, DType dtype, const BackendShape& shape) {
  TLIN_RETURN_IF_ERROR(CheckBackendShape(shape, dtype, "CUDA"));
  if (shape.n_embd / shape.n_head > kMaxHeadSize) {
    return absl::InvalidArgumentError(
        absl::StrCat("a head of ", shape.n_embd / shape.n_head,
                     " elements: the CUDA backend has attention for ",
                     kMaxHeadSize, " at most"));
  }
  int devices = 0;  // which an error leaves as it is
  TLIN_RETURN_IF_ERROR(CudaStatus(cudaGetDeviceCount(&devices), "CUDA"));
  if (device < 0 || device >= devices) {
    return absl::FailedPreconditionError(absl::StrCat(
        "there is no GPU ", device, ": this machine has ", devices));
  }
  TLIN_RETURN_IF_ERROR(CudaStatus(cudaSetDevice(device), "the GPU"));
  int major = 0;
  int minor = 0;
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
  cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
  if (major < kLeastCapability) {
    return absl::FailedPreconditionError(
        absl::StrCat("GPU ", device, " has compute capability ", major, ".",
                     minor, ": want ", kLeastCapability, ".0 or more"));
  }
  std::unique_ptr<CudaBackend> backend(new CudaBackend(device, dtype, shape));
  TLIN_RETURN_IF_ERROR(backend->Init());
  return backend;
}

absl::Status CudaBackend::Init() {
  TLIN_RETURN_IF_ERROR(CudaStatus(
      cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "a stream"));
  TLIN_RETURN_IF_ERROR(
      CudaStatus(attention_.prepare(heads_), "shared memory for attention"));
  TLIN_ASSIGN_OR_RETURN(gemm_, Gemm::Create(dtype_));
  const std::vector<float> frequencies = RopeFrequencies(heads_.head_size);
  TLIN_ASSIGN_OR_RETURN(
      frequencies_,
      DeviceMemory::Upload(absl::MakeConstSpan(frequencies), "frequencies"));

  const int64_t rows = std::max(shape_.max_rows, shape_.max_logit_rows);
  const int64_t stride = std::max(prepared_stride(shape_.n_embd),
                                  prepared_stride(shape_.ffn_size));
  const int64_t wide =
      std::max(3 * int64_t{shape_.n_embd}, 2 * int64_t{shape_.ffn_size});
  // All blocks of the parts, and the parts and their tiles.
  const int64_t of_attention =
      shape_.max_blocks * static_cast<int64_t>(sizeof(AttendBlock)) +
      rows * static_cast<int64_t>(sizeof(AttendPart) + sizeof(AttendTile) +
                                  2 * sizeof(AttendBlock));
  TLIN_ASSIGN_OR_RETURN(
      arguments_, Arguments::Create(
                      std::max(rows * kArgumentBytesPerRow, 2 * of_attention)));
  TLIN_ASSIGN_OR_RETURN(
      prepared_, DeviceMemory::Allocate(rows * stride * DTypeBytes(dtype_)));
  // What lies between the rows is read, and must not be a NaN.
  TLIN_RETURN_IF_ERROR(CudaStatus(
      cudaMemsetAsync(prepared_.data(), 0,
                      static_cast<size_t>(prepared_.size()), stream_),
      "prepared rows"));
  TLIN_ASSIGN_OR_RETURN(wide_,
                        DeviceMemory::Allocate(rows * wide * kFloatBytes));
  TLIN_ASSIGN_OR_RETURN(
      logits_, DeviceMemory::Allocate(int64_t{shape_.max_logit_rows} *
                                      shape_.vocab_size * kFloatBytes));
  TLIN_ASSIGN_OR_RETURN(kv_rows_,
                        DeviceMemory::Allocate(KvBytes(kTransferRows)));
  TLIN_ASSIGN_OR_RETURN(
      block_scratch_,
      DeviceMemory::Allocate(shape_.max_blocks * PartialFloats(heads_) *
                             kFloatBytes));
  return Synchronize();
}

std::string CudaBackend::name() const { return absl::StrCat("cuda:", device_); }

int64_t CudaBackend::workspace_bytes() const {
  return gemm_->workspace_bytes() + frequencies_.size() + arguments_.bytes() +
         prepared_.size() + wide_.size() + logits_.size() + kv_rows_.size() +
         block_scratch_.size();
}

int64_t CudaBackend::free_bytes() const {
  size_t free = 0;
  size_t total = 0;
  // After an error they are none: what is allocated next says why.
  cudaMemGetInfo(&free, &total);
  return static_cast<int64_t>(free);
}

void CudaBackend::Note(cudaError_t error, absl::string_view what) {
  if (error != cudaSuccess) failure_.Update(CudaStatus(error, what));
}

void CudaBackend::Note(cublasStatus_t status, absl::string_view what) {
  if (status != CUBLAS_STATUS_SUCCESS) {
    failure_.Update(CublasStatus(status, what));
  }
}

void CudaBackend::Begin(int64_t argument_bytes) {
  if (thread_ != std::this_thread::get_id()) {
    thread_ = std::this_thread::get_id();
    Note(cudaSetDevice(device_), "the GPU");
  }
  if (arguments_.HasRoom(argument_bytes)) return;
  TLIN_CHECK(argument_bytes <= arguments_.bytes());
  Note(cudaStreamSynchronize(stream_), "a step");
  arguments_.Recycle();
}

absl::Status CudaBackend::Synchronize() {
  Note(cudaStreamSynchronize(stream_), "a step");
  arguments_.Recycle();
  return std::exchange(failure_, absl::OkStatus());
}

absl::StatusOr<std::unique_ptr<DeviceBuffer>> CudaBackend::Allocate(
    int64_t bytes) {
  TLIN_ASSIGN_OR_RETURN(DeviceMemory memory, DeviceMemory::Allocate(bytes));
  // Zeroed when the call returns: whoever has it may use another stream.
  TLIN_RETURN_IF_ERROR(CudaStatus(
      cudaMemsetAsync(memory.data(), 0, static_cast<size_t>(bytes), stream_),
      "device memory"));
  TLIN_RETURN_IF_ERROR(
      CudaStatus(cudaStreamSynchronize(stream_), "device memory"));
  return std::make_unique<CudaBuffer>(std::move(memory));
}

absl::StatusOr<std::unique_ptr<Linear>> CudaBackend::MakeLinear(
    absl::Span<const HostMatrix> weight, const HostMatrix& bias) {
  return gemm_->MakeLinear(weight, bias);
}

absl::StatusOr<std::unique_ptr<Norm>> CudaBackend::MakeNorm(
    const HostMatrix& weight, const HostMatrix& bias) {
  return CudaNorm::Create(weight, bias, shape_.n_embd);
}

void CudaBackend::Multiply(const Linear& linear, int32_t rows, bool add,
                           float* y, int64_t y_stride) {
  Note(gemm_->Multiply(Cuda(linear), prepared_.data(), rows, add, y, y_stride,
                       stream_),
       "a product");
}

void CudaBackend::Embed(const Linear& table, absl::Span<const TokenId> ids,
                        Rows x) {
  TLIN_CHECK(SizeOf(ids.size()) == x.rows);
  Begin(BytesOf(ids));
  const TokenId* const device_ids = arguments_.Put(ids);
  Note(arguments_.Send(stream_), "token ids");
  Note(LaunchGather(dtype_, Cuda(table).weight(), Cuda(table).stride(),
                    device_ids, x.rows, shape_.n_embd, x.data, stream_),
       "embedding");
}

void CudaBackend::Multiply3(const LayerWeights& layer, Rows x, bool q, bool kv,
                            float* to) {
  TLIN_CHECK(x.rows <= shape_.max_rows);
  const int64_t cols = shape_.n_embd;
  Begin(0);
  Note(LaunchLayerNorm(dtype_, x.data, nullptr, Cuda(*layer.norm1).floats(),
                       x.rows, shape_.n_embd, prepared_.data(),
                       prepared_stride(cols), stream_),
       "LayerNorm");
  if (q) Multiply(*layer.q, x.rows, /*add=*/false, to, 3 * cols);
  if (kv) Multiply(*layer.kv, x.rows, /*add=*/false, to + cols, 3 * cols);
}

void CudaBackend::Rotate(const float* qkv, absl::Span<const TokenId> ids,
                         absl::Span<const int32_t> positions, Rows q,
                         absl::Span<const KvRow> kv) {
  Begin(BytesOf(ids) + BytesOf(positions) + BytesOf(kv));
  const TokenId* const device_ids = ids.empty() ? nullptr : arguments_.Put(ids);
  const int32_t* const device_positions = arguments_.Put(positions);
  const KvRow* const device_kv = kv.empty() ? nullptr : arguments_.Put(kv);
  Note(arguments_.Send(stream_), "positions");
  Note(LaunchRotate(dtype_, heads_, qkv, device_ids, device_positions,
                    SizeOf(positions.size()), frequencies_.as<float>(), q.data,
                    device_kv, stream_),
       "rotation");
}

void CudaBackend::Project(const LayerWeights& layer, Rows x,
                          absl::Span<const int32_t> positions, Rows q,
                          absl::Span<const KvRow> kv) {
  TLIN_CHECK(SizeOf(positions.size()) == x.rows);
  Multiply3(layer, x, q.data != nullptr, !kv.empty(), wide_.as<float>());
  Rotate(wide_.as<float>(), {}, positions, q, kv);
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
  const int64_t ffn = shape_.ffn_size;
  float* const gate_up = wide_.as<float>();
  Begin(0);
  Note(LaunchPrepare(dtype_, attended.data, x.rows, shape_.n_embd,
                     prepared_.data(), prepared_stride(cols), stream_),
       "attention's output");
  Multiply(*layer.out, x.rows, /*add=*/true, x.data, cols);
  Note(LaunchLayerNorm(dtype_, x.data, nullptr, Cuda(*layer.norm2).floats(),
                       x.rows, shape_.n_embd, prepared_.data(),
                       prepared_stride(cols), stream_),
       "LayerNorm");
  Multiply(*layer.gate_up, x.rows, /*add=*/false, gate_up, 2 * ffn);
  Note(LaunchSwiGlu(dtype_, gate_up, x.rows, shape_.ffn_size, prepared_.data(),
                    prepared_stride(ffn), stream_),
       "SwiGLU");
  Multiply(*layer.down, x.rows, /*add=*/true, x.data, cols);
}

void CudaBackend::ComputeLogits(const Norm& norm, const Linear& table, Rows x,
                                absl::Span<const int32_t> row_indices,
                                float* logits) {
  const int32_t rows = SizeOf(row_indices.size());
  if (rows == 0) return;
  TLIN_CHECK(rows <= shape_.max_logit_rows);
  Begin(BytesOf(row_indices));
  const int32_t* const indices = arguments_.Put(row_indices);
  Note(arguments_.Send(stream_), "row indices");
  Note(LaunchLayerNorm(dtype_, x.data, indices, Cuda(norm).floats(), rows,
                       shape_.n_embd, prepared_.data(),
                       prepared_stride(shape_.n_embd), stream_),
       "LayerNorm");
  Multiply(table, rows, /*add=*/false, logits_.as<float>(), shape_.vocab_size);
  Note(cudaMemcpyAsync(
           logits, logits_.data(),
           static_cast<size_t>(int64_t{rows} * shape_.vocab_size * kFloatBytes),
           cudaMemcpyDeviceToHost, stream_),
       "logits");
}

void CudaBackend::ReadKv(const KvBlock& block, std::byte* host) {
  Begin(0);
  const int64_t row_bytes = shape_.n_embd * DTypeBytes(dtype_);
  for (int32_t first = 0; first < block.rows; first += kTransferRows) {
    const int32_t rows = std::min(kTransferRows, block.rows - first);
    const auto bytes = static_cast<size_t>(rows * row_bytes);
    Note(LaunchReadKv(dtype_, heads_, block, first, rows, kv_rows_.data(),
                      stream_),
         "a state");
    Note(cudaMemcpyAsync(host + first * row_bytes, kv_rows_.data(), bytes,
                         cudaMemcpyDeviceToHost, stream_),
         "keys");
    Note(cudaMemcpyAsync(host + (block.rows + first) * row_bytes,
                         kv_rows_.data() + bytes, bytes, cudaMemcpyDeviceToHost,
                         stream_),
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
                         cudaMemcpyHostToDevice, stream_),
         "keys");
    Note(cudaMemcpyAsync(kv_rows_.data() + bytes,
                         host + (block.rows + first) * row_bytes, bytes,
                         cudaMemcpyHostToDevice, stream_),
         "values");
    Note(LaunchWriteKv(dtype_, heads_, kv_rows_.data(), first, rows, block,
                       stream_),
         "a state");
  }
}

void CudaBackend::Copy(const void* from, void* to, int64_t bytes) {
  Begin(0);
  Note(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes),
                       cudaMemcpyDeviceToDevice, stream_),
       "a copy");
}

}  // namespace tlin::cuda
