// Backend on the processor's cores: the oracle for every other backend.
#ifndef TLIN_ENGINE_BACKEND_CPU_CPU_BACKEND_H_
#define TLIN_ENGINE_BACKEND_CPU_CPU_BACKEND_H_

#include <memory>
#include <string>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/backend/cpu/aligned_buffer.h"
#include "engine/backend/cpu/attention.h"
#include "engine/backend/cpu/gemm.h"
#include "engine/backend/cpu/kv_layout.h"
#include "engine/backend/cpu/rope.h"
#include "engine/backend/cpu/worker_pool.h"
#include "engine/sampling/sampler.h"

namespace tlin {

// Runs each operation at once on the calling thread and its workers; nothing is
// left for Synchronize to wait for. Allocates nothing after construction but
// what Allocate, MakeLinear and MakeNorm are asked for.
class CpuBackend final : public Backend {
 public:
  // dtype: f32 or bf16; threads: at least 1; bf16_kernels: how bf16 products
  // are made, null for the fastest way here. INVALID_ARGUMENT for what no model
  // has, RESOURCE_EXHAUSTED without memory for the workspace.
  static absl::StatusOr<std::unique_ptr<Backend>> Create(
      const BackendShape& shape, DType dtype, int threads,
      const GemmKernels* bf16_kernels = nullptr);

  std::string name() const override { return "cpu"; }
  DType dtype() const override { return kv_shape_.dtype; }
  const BackendShape& shape() const override { return shape_; }
  int64_t workspace_bytes() const override;

  absl::StatusOr<std::unique_ptr<DeviceBuffer>> Allocate(
      int64_t bytes) override;
  absl::StatusOr<std::unique_ptr<Linear>> MakeLinear(
      absl::Span<const HostMatrix> weight, const HostMatrix& bias) override;
  absl::StatusOr<std::unique_ptr<Norm>> MakeNorm(
      const HostMatrix& weight, const HostMatrix& bias) override;

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
  CpuBackend(const BackendShape& shape, DType dtype, int threads,
             const GemmKernels& gemm);
  absl::Status AllocateScratch();

  // task(row, worker) for each row: at once when they are few, else by workers.
  template <class Task>
  void ForRows(int64_t rows, const Task& task);

  // Scratch as the operations see it.
  uint32_t* PreparedRow(int64_t row, int64_t cols);
  PreparedRows Prepared(int64_t rows, int64_t cols);
  float* Wide(int64_t row, int64_t cols);
  float* WorkerRow(int worker);

  // LayerNorm of x[indices[i]] (x[i] where indices is empty) becomes prepared
  // row i.
  void PrepareNormed(const Norm& norm, Rows x,
                     absl::Span<const int32_t> indices);
  // Projections of x, as far as they are asked for: q and kv in a row of `to`
  // side by side, f32 [rows, 3D].
  void Multiply3(const LayerWeights& layer, Rows x, bool q, bool kv, float* to);
  // The same, rotated and put in place (q.data and kv may be empty).
  void Project(const LayerWeights& layer, Rows x,
               absl::Span<const int32_t> positions, Rows q,
               absl::Span<const KvRow> kv);
  // Rotates qkv_of(row), f32 [3D], and puts it in place.
  template <class QkvOf>
  void Rotate(absl::Span<const int32_t> positions, const QkvOf& qkv_of, Rows q,
              absl::Span<const KvRow> kv);

  // Constant after construction.
  const BackendShape shape_;
  const KvShape kv_shape_;
  const GemmKernels& gemm_;
  const Rope rope_;
  const int64_t row_width_;   // of a worker's row: max(n_embd, ffn_size)
  const int64_t wide_width_;  // max(3 n_embd, 2 ffn_size)

  // Engine thread, and its workers during an operation.
  WorkerPool pool_;
  AlignedBuffer prepared_;     // rows as gemm_ reads them
  AlignedBuffer wide_;         // f32 [max_rows, wide_width_]
  AlignedBuffer worker_rows_;  // f32 [threads, 2 * row_width_]
  std::unique_ptr<CpuAttention> attention_;
  AlignedBuffer logits_;  // f32 [max_logit_rows, vocab], of SampleTokens
  std::vector<Sampler> samplers_;  // one a worker
};

}  // namespace tlin

#endif  // TLIN_ENGINE_BACKEND_CPU_CPU_BACKEND_H_
