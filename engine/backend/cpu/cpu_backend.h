// Backend on the processor's cores: the oracle for every other backend.
#ifndef TLIN_ENGINE_BACKEND_CPU_CPU_BACKEND_H_
#define TLIN_ENGINE_BACKEND_CPU_CPU_BACKEND_H_

#include <memory>
#include <string>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/backend/cpu/aligned.h"
#include "engine/backend/cpu/attention_kernel.h"
#include "engine/backend/cpu/gemm.h"
#include "engine/backend/cpu/rope_table.h"
#include "engine/backend/cpu/worker_pool.h"

namespace tlin {

// Runs each operation at once on the calling thread and its workers; nothing is
// left for Synchronize to wait for. Allocates nothing after construction but
// what Allocate, MakeLinear and MakeNorm are asked for.
class CpuBackend final : public Backend {
 public:
  // dtype: f32 or bf16. threads >= 1. RESOURCE_EXHAUSTED without memory for the
  // workspace.
  static absl::StatusOr<std::unique_ptr<Backend>> Create(
      const BackendShape& shape, DType dtype, int threads);

  std::string name() const override { return "cpu"; }
  DType dtype() const override { return dtype_; }
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
  void Finish(const LayerWeights& layer, Rows attended, Rows x) override;
  void AttendWindow(Rows q, absl::Span<const WindowPart> parts,
                    Rows out) override;
  void Attend(Rows q, const KvBlock& keys, Rows out) override;
  int64_t PartialBytes(int32_t rows) const override;
  void ResetPartial(int32_t rows, std::byte* partial) override;
  void AccumulateAttention(Rows q, const KvBlock& keys,
                           std::byte* partial) override;
  void FinishPartial(const std::byte* partial, Rows out) override;
  void ComputeLogits(const Norm& norm, const Linear& table, Rows x,
                     absl::Span<const int32_t> row_indices,
                     float* logits) override;
  void Copy(const void* from, void* to, int64_t bytes) override;
  absl::Status Synchronize() override { return absl::OkStatus(); }

 private:
  struct WorkerScratch {
    std::vector<float> scores;  // [kMaxQueries * kKeyChunk]
    std::vector<float> values;  // [kMaxQueries * head_size]
  };

  CpuBackend(const BackendShape& shape, DType dtype, int threads);

  // inputs_ = LayerNorm(x[indices]), in the dtype of the GEMMs' inputs; all
  // rows where `indices` is empty.
  void Normalize(const Norm& norm, Rows x, absl::Span<const int32_t> indices);
  // inputs_ = rows of f32 [rows, n] in the dtype of the GEMMs' inputs.
  void ToInputs(const float* x, int32_t rows, int64_t n);
  void QFromNormed(const LayerWeights& layer, Rows q);
  void KvFromNormed(const LayerWeights& layer, int32_t rows,
                    absl::Span<const KvRow> kv);
  // A window part's four rows of one head: both softmaxes, added.
  void AttendPart(Rows q, const WindowPart& part, int32_t row, int32_t head,
                  WorkerScratch* scratch, Rows out) const;

  // Constant after construction.
  const BackendShape shape_;
  const DType dtype_;
  const AttentionShape attention_;

  WorkerPool pool_;
  RopeTable rope_;
  std::vector<WorkerScratch> scratch_;  // one a worker
  AlignedBytes inputs_;                 // [max_rows, GemmInputBytes(widest)]
  AlignedBytes wide_;                   // f32 [max_rows, 2 * max(F, D)]
};

}  // namespace tlin

#endif  // TLIN_ENGINE_BACKEND_CPU_CPU_BACKEND_H_
