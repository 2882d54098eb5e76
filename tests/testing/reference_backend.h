// The mathematics of Backend in plain loops and double precision: what a model
// on any backend is held against, and a count of the work that it asks for.
#ifndef TLIN_TESTS_TESTING_REFERENCE_BACKEND_H_
#define TLIN_TESTS_TESTING_REFERENCE_BACKEND_H_

#include <memory>
#include <string>

#include "engine/backend/backend.h"

namespace tlin {

// Operations run at once. A row of a KvBlock is n_embd keys, then n_embd
// values, in f32. Weights must be f32.
class ReferenceBackend final : public Backend {
 public:
  explicit ReferenceBackend(const BackendShape& shape) : shape_(shape) {}

  // FLOPs asked for so far: products with weights, and scores and sums of
  // values.
  double product_flops() const { return product_flops_; }
  double attention_flops() const { return attention_flops_; }
  double flops() const { return product_flops_ + attention_flops_; }

  std::string name() const override { return "reference"; }
  DType dtype() const override { return DType::kF32; }
  const BackendShape& shape() const override { return shape_; }
  int64_t workspace_bytes() const override { return 0; }
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
  absl::Status Synchronize() override { return absl::OkStatus(); }

 private:
  int32_t head_size() const { return shape_.n_embd / shape_.n_head; }
  // Doubles of one query's partial: of each head maximum, sum, weighted values.
  int64_t PartialSize() const { return shape_.n_embd + 2 * shape_.n_head; }
  // q and the keys are met; `partial` is of one query.
  void Meet(const float* q, const KvBlock& keys, int32_t rows, double* partial);
  void AddResult(const double* partial, float* out) const;
  void Rotate(int32_t position, float* row) const;

  const BackendShape shape_;
  double product_flops_ = 0;
  double attention_flops_ = 0;
};

}  // namespace tlin

#endif  // TLIN_TESTS_TESTING_REFERENCE_BACKEND_H_
