// The GPU backend: kernels of this folder, products by cuBLASLt, a stream for
// what decodes and one of lower priority for what syncs.
#ifndef TLIN_ENGINE_BACKEND_CUDA_CUDA_BACKEND_H_
#define TLIN_ENGINE_BACKEND_CUDA_CUDA_BACKEND_H_

#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/backend/backend.h"
#include "engine/backend/cuda/attention_ops.h"
#include "engine/backend/cuda/decode_graphs.h"
#include "engine/backend/cuda/gemm.h"
#include "engine/backend/cuda/lane.h"
#include "engine/backend/cuda/memory.h"
#include "engine/backend/cuda/sampling_ops.h"
#include "engine/backend/cuda/workspace.h"

namespace tlin::cuda {

// Operations are enqueued and return; what goes wrong is told by Synchronize.
class CudaBackend final : public Backend {
 public:
  // Of GPU `device`. FAILED_PRECONDITION where there is none or no driver for
  // it, INVALID_ARGUMENT for a shape that it cannot do, RESOURCE_EXHAUSTED
  // without memory.
  static absl::StatusOr<std::unique_ptr<Backend>> Create(
      int device, DType dtype, const BackendShape& shape);
  // The GPU's memory that is free. FAILED_PRECONDITION as Create.
  static absl::StatusOr<int64_t> FreeBytes(int device);
  // What workspace_bytes() of such a backend will be. Needs no GPU.
  static int64_t WorkspaceBytes(DType dtype, const BackendShape& shape);
  ~CudaBackend() override;

  std::string name() const override;
  DType dtype() const override { return dtype_; }
  const BackendShape& shape() const override { return shape_; }
  int64_t workspace_bytes() const override;

  absl::StatusOr<std::unique_ptr<DeviceBuffer>> Allocate(
      int64_t bytes) override;
  absl::StatusOr<std::unique_ptr<Linear>> MakeLinear(
      absl::Span<const HostMatrix> weight, const HostMatrix& bias) override;
  absl::StatusOr<std::unique_ptr<Norm>> MakeNorm(
      const HostMatrix& weight, const HostMatrix& bias) override;

  void SetBackground(bool background) override;
  void BeginDecode(int32_t rows, absl::Span<const SampleRow> samples) override;
  void EndDecode() override;

  void Embed(const Linear& table, absl::Span<const TokenId> ids,
             Rows x) override;
  void ProjectQkv(const LayerWeights& layer, Rows x,
                  absl::Span<const int32_t> positions, Rows q,
                  absl::Span<const KvRow> kv) override;
  void ProjectQ(const LayerWeights& layer, Rows x,
                absl::Span<const int32_t> positions, Rows q) override;
  void ProjectKv(const LayerWeights& layer, Rows x,
                 absl::Span<const int32_t> positions,
                 absl::Span<const KvRow> kv) override;
  void ProjectUnrotated(const LayerWeights& layer, Rows x, float* qkv) override;
  void LookUpQkv(const float* table, absl::Span<const TokenId> ids,
                 absl::Span<const int32_t> positions, Rows q,
                 absl::Span<const KvRow> kv) override;
  void Finish(const LayerWeights& layer, Rows attended, Rows x) override;
  void AttendWindow(Rows q, absl::Span<const WindowPart> parts,
                    Rows out) override;
  void Attend(Rows q, const KvBlock& keys, Rows out) override;
  int64_t PartialBytes(int32_t rows) const override;
  void ResetPartial(int32_t rows, std::byte* partial) override;
  void AccumulateAttention(Rows q, const KvBlock& keys,
                           std::byte* partial) override;
  void FinishPartial(const std::byte* partial, Rows out) override;
  void AddPartial(const std::byte* partial, Rows out) override;
  void LoadPartial(const PartialRing& ring, int32_t first_query, int32_t rows,
                   std::byte* partial) override;
  void StorePartial(const std::byte* partial, int32_t rows,
                    const PartialRing& ring, int32_t first_query) override;
  void ComputeLogits(const Norm& norm, const Linear& table, Rows x,
                     absl::Span<const int32_t> row_indices,
                     float* logits) override;
  void SampleTokens(const Norm& norm, const Linear& table, Rows x,
                    absl::Span<const int32_t> row_indices,
                    absl::Span<const SampleRow> samples,
                    SampledToken* tokens) override;
  void ReadKv(const KvBlock& block, std::byte* host) override;
  void WriteKv(const std::byte* host, const KvBlock& block) override;
  void Copy(const void* from, void* to, int64_t bytes) override;
  absl::Status Synchronize() override;

 private:
  CudaBackend(int device, DType dtype, const BackendShape& shape);
  absl::Status Init();
  absl::StatusOr<Lane> MakeLane(bool urgent) const;
  void WaitForLane(Lane* lane);

  // Before an operation that brings so many bytes of arrays along. Waits for
  // what was enqueued where there is no room for them.
  void Begin(int64_t argument_bytes);
  // Enqueues by `launch(stream)`, unless a recorded step is on that does so by
  // itself.
  template <class Launch>
  void Enqueue(absl::string_view what, const Launch& launch) {
    if (graphs_.active() && !graphs_.recording()) return;
    Note(launch(lane_->stream.get()), what);
  }
  // Where the operation's arrays go: one after the other, in a step of a graph
  // for as many rows as that has.
  Arguments& arguments() {
    return graphs_.active() ? decode_arguments_ : lane_->arguments;
  }
  int32_t Padded(int32_t rows) const {
    return graphs_.active() ? graphs_.bucket() : rows;
  }
  template <class T>
  const T* Put(absl::Span<const T> values, const T& filler = T()) {
    const auto rows = static_cast<int32_t>(values.size());
    return arguments().Put(values, static_cast<size_t>(Padded(rows)), filler);
  }
  // What was put is on its way. A recorded step sends it all at its end.
  void SendArguments();
  // The first failure since the last Synchronize is kept.
  void Note(cudaError_t error, absl::string_view what);
  void Note(cublasStatus_t status, absl::string_view what);

  // Projections of x, as far as they are asked for: q, k and v in a row of `to`
  // side by side, f32 [rows, 3D].
  void Multiply3(const LayerWeights& layer, Rows x, bool q, bool kv, float* to);
  // The same, rotated and put in place (q.data and kv may be empty).
  void Project(const LayerWeights& layer, Rows x,
               absl::Span<const int32_t> positions, Rows q,
               absl::Span<const KvRow> kv);
  // Rotates rows of qkv (LaunchRotate) and puts them in place.
  void Rotate(const float* qkv, absl::Span<const TokenId> ids,
              absl::Span<const int32_t> positions, Rows q,
              absl::Span<const KvRow> kv);
  // y = W x + b of prepared rows; or += it.
  void Multiply(const Linear& linear, int32_t rows, bool add, float* y,
                int64_t y_stride);
  // Logits of x's rows, to logits_.
  void MultiplyLogits(const Norm& norm, const Linear& table, Rows x,
                      absl::Span<const int32_t> row_indices);
  // Rows of logits_ from `first` on.
  void SampleLogits(int32_t first, absl::Span<const SampleRow> samples,
                    SampledToken* tokens);
  // Sampled tokens to where their callers want them. REQUIRES: the stream is
  // done.
  void DeliverTokens();

  // Fills parts_, tiles_ and blocks_. Returns the rows of scratch that the
  // blocks' partials would need, and how many blocks the longest part has.
  struct Extent {
    int64_t scratch_rows = 0;
    int64_t longest = 0;
    bool grows = false;
  };
  Extent PlaceParts(absl::Span<const WindowPart> parts);
  // Thread blocks beside each other for a tile of queries and a head.
  int32_t SplitsOf(const Extent& extent) const;

  int64_t prepared_stride(int64_t cols) const {
    return RowStride(cols, dtype_);
  }

  // Constant after Init.
  const int device_;
  const DType dtype_;
  const BackendShape shape_;
  const HeadShape heads_;
  const WorkspaceSizes sizes_;
  const AttentionOps& attention_;
  std::unique_ptr<Gemm> gemm_;
  DeviceMemory frequencies_;  // f32 [head_size / 2]

  // Engine thread, and the device on the stream.
  Lane foreground_;
  Lane background_;
  Lane* lane_ = &foreground_;
  DecodeGraphs graphs_;
  Arguments decode_arguments_;  // of a recorded step
  DeviceMemory logits_;         // f32 [max_logit_rows, vocab]
  std::vector<DeviceSample> samples_;
  std::vector<TokenCount> banned_;
  // Tokens as the device writes them, and whose they are, in order.
  PinnedMemory sampled_;  // SampledToken [max_logit_rows]
  struct Delivery {
    SampledToken* to = nullptr;
    int32_t rows = 0;
  };
  std::vector<Delivery> deliveries_;
  int32_t sampled_rows_ = 0;
  DeviceMemory kv_rows_;        // of kTransferRows rows, in plain order
  DeviceMemory block_scratch_;  // partials of max_history_blocks queries
  std::vector<AttendPart> parts_;
  std::vector<AttendTile> tiles_;
  std::vector<AttendBlock> blocks_;
  std::thread::id thread_;  // whose current device is ours
  absl::Status failure_;
};

}  // namespace tlin::cuda

#endif  // TLIN_ENGINE_BACKEND_CUDA_CUDA_BACKEND_H_
