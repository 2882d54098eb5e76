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

// mma and cp.async of bf16.
constexpr int kLeastCapability = 8;

// Makes it this thread's.
absl::Status UseDevice(int device) {
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
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<int64_t> CudaBackend::FreeBytes(int device) {
  TLIN_RETURN_IF_ERROR(UseDevice(device));
  size_t free = 0;
  size_t total = 0;
  TLIN_RETURN_IF_ERROR(
      CudaStatus(cudaMemGetInfo(&free, &total), "the GPU's memory"));
  return static_cast<int64_t>(free);
}

int64_t CudaBackend::WorkspaceBytes(DType dtype, const BackendShape& shape) {
  return MakeWorkspaceSizes(dtype, shape).total();
}

CudaBackend::CudaBackend(int device, DType dtype, const BackendShape& shape)
    : device_(device),
      dtype_(dtype),
      shape_(shape),
      heads_{shape.n_head, shape.n_embd / shape.n_head},
      sizes_(MakeWorkspaceSizes(dtype, shape)),
      attention_(dtype == DType::kF32 ? AttentionOpsF32() : AttentionOpsBf16()),
      thread_(std::this_thread::get_id()) {}

CudaBackend::~CudaBackend() = default;

absl::StatusOr<std::unique_ptr<Backend>> CudaBackend::Create(
    int device, DType dtype, const BackendShape& shape) {
  TLIN_RETURN_IF_ERROR(CheckBackendShape(shape, dtype, "CUDA"));
  if (shape.n_embd / shape.n_head > kMaxHeadSize) {
    return absl::InvalidArgumentError(
        absl::StrCat("a head of ", shape.n_embd / shape.n_head,
                     " elements: the CUDA backend has attention for ",
                     kMaxHeadSize, " at most"));
  }
  TLIN_RETURN_IF_ERROR(UseDevice(device));
  std::unique_ptr<CudaBackend> backend(new CudaBackend(device, dtype, shape));
  TLIN_RETURN_IF_ERROR(backend->Init());
  return backend;
}

absl::StatusOr<Lane> CudaBackend::MakeLane(bool urgent) const {
  Lane lane;
  TLIN_RETURN_IF_ERROR(CudaStatus(lane.stream.Create(urgent), "a stream"));
  TLIN_ASSIGN_OR_RETURN(lane.arguments, Arguments::Create(sizes_.arguments));
  TLIN_ASSIGN_OR_RETURN(lane.prepared, DeviceMemory::Allocate(sizes_.prepared));
  // What lies between the rows is read, and must not be a NaN.
  TLIN_RETURN_IF_ERROR(
      CudaStatus(cudaMemsetAsync(lane.prepared.data(), 0,
                                 static_cast<size_t>(lane.prepared.size()),
                                 lane.stream.get()),
                 "prepared rows"));
  TLIN_ASSIGN_OR_RETURN(lane.wide, DeviceMemory::Allocate(sizes_.wide));
  TLIN_ASSIGN_OR_RETURN(lane.workspace,
                        DeviceMemory::Allocate(sizes_.products));
  return lane;
}

absl::Status CudaBackend::Init() {
  TLIN_RETURN_IF_ERROR(
      CudaStatus(attention_.prepare(heads_), "shared memory for attention"));
  TLIN_ASSIGN_OR_RETURN(gemm_, Gemm::Create(dtype_));
  const std::vector<float> frequencies = RopeFrequencies(heads_.head_size);
  TLIN_ASSIGN_OR_RETURN(
      frequencies_,
      DeviceMemory::Upload(absl::MakeConstSpan(frequencies), "frequencies"));
  TLIN_ASSIGN_OR_RETURN(foreground_, MakeLane(/*urgent=*/true));
  TLIN_ASSIGN_OR_RETURN(background_, MakeLane(/*urgent=*/false));
  TLIN_ASSIGN_OR_RETURN(
      decode_arguments_,
      Arguments::Create(sizes_.decode_arrays, sizes_.decode_lists));
  TLIN_ASSIGN_OR_RETURN(logits_, DeviceMemory::Allocate(sizes_.logits));
  TLIN_ASSIGN_OR_RETURN(sampled_,
                        PinnedMemory::Allocate(int64_t{shape_.max_logit_rows} *
                                               int64_t{sizeof(SampledToken)}));
  TLIN_ASSIGN_OR_RETURN(kv_rows_, DeviceMemory::Allocate(sizes_.kv_rows));
  TLIN_ASSIGN_OR_RETURN(block_scratch_,
                        DeviceMemory::Allocate(sizes_.block_scratch));
  return Synchronize();
}

std::string CudaBackend::name() const { return absl::StrCat("cuda:", device_); }

int64_t CudaBackend::workspace_bytes() const {
  return frequencies_.size() + foreground_.bytes() + background_.bytes() +
         decode_arguments_.bytes() + logits_.size() + kv_rows_.size() +
         block_scratch_.size();
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
  if (graphs_.active() || lane_->arguments.HasRoom(argument_bytes)) return;
  TLIN_CHECK(argument_bytes <= lane_->arguments.bytes());
  WaitForLane(lane_);
}

void CudaBackend::WaitForLane(Lane* lane) {
  Note(cudaStreamSynchronize(lane->stream.get()), "a step");
  lane->arguments.Recycle();
}

void CudaBackend::SendArguments() {
  if (graphs_.active()) return;
  Note(lane_->arguments.Send(lane_->stream.get()), "arguments");
}

void CudaBackend::SetBackground(bool background) {
  TLIN_CHECK(!graphs_.active());
  lane_ = background ? &background_ : &foreground_;
}

absl::Status CudaBackend::Synchronize() {
  WaitForLane(&foreground_);
  WaitForLane(&background_);
  decode_arguments_.Recycle();
  DeliverTokens();
  return std::exchange(failure_, absl::OkStatus());
}

absl::StatusOr<std::unique_ptr<DeviceBuffer>> CudaBackend::Allocate(
    int64_t bytes) {
  TLIN_ASSIGN_OR_RETURN(DeviceMemory memory, DeviceMemory::Allocate(bytes));
  // Zeroed when the call returns: whoever has it may use another stream.
  TLIN_RETURN_IF_ERROR(
      CudaStatus(cudaMemsetAsync(memory.data(), 0, static_cast<size_t>(bytes),
                                 lane_->stream.get()),
                 "device memory"));
  TLIN_RETURN_IF_ERROR(
      CudaStatus(cudaStreamSynchronize(lane_->stream.get()), "device memory"));
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

}  // namespace tlin::cuda
