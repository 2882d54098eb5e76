// A backend that can leave work out: a sequence of a million tokens is there in
// a moment, with any keys and values, and its next step takes as long as ever.
#ifndef TLIN_TESTS_TESTING_SKIPPING_BACKEND_H_
#define TLIN_TESTS_TESTING_SKIPPING_BACKEND_H_

#include <memory>
#include <string>
#include <utility>

#include "engine/backend/backend.h"

namespace tlin {

// Hands everything on to another backend. Memory that it allocates holds small
// numbers, and is touched, so that reading it takes as long as reading keys; on
// the CPU: a GPU's memory is there once it is allocated.
class SkippingBackend final : public Backend {
 public:
  explicit SkippingBackend(std::unique_ptr<Backend> backend)
      : backend_(std::move(backend)) {}

  // While true, operations do nothing.
  void set_skip(bool skip) { skip_ = skip; }

  std::string name() const override { return backend_->name(); }
  DType dtype() const override { return backend_->dtype(); }
  const BackendShape& shape() const override { return backend_->shape(); }
  int64_t workspace_bytes() const override {
    return backend_->workspace_bytes();
  }
  absl::StatusOr<std::unique_ptr<DeviceBuffer>> Allocate(
      int64_t bytes) override;
  absl::StatusOr<std::unique_ptr<Linear>> MakeLinear(
      absl::Span<const HostMatrix> weight, const HostMatrix& bias) override {
    return backend_->MakeLinear(weight, bias);
  }
  absl::StatusOr<std::unique_ptr<Norm>> MakeNorm(
      const HostMatrix& weight, const HostMatrix& bias) override {
    return backend_->MakeNorm(weight, bias);
  }

  void Embed(const Linear& table, absl::Span<const TokenId> ids,
             Rows x) override {
    if (!skip_) backend_->Embed(table, ids, x);
  }
  void ProjectQkv(const LayerWeights& layer, Rows x,
                  absl::Span<const int32_t> positions, Rows q,
                  absl::Span<const KvRow> kv) override {
    if (!skip_) backend_->ProjectQkv(layer, x, positions, q, kv);
  }
  void ProjectQ(const LayerWeights& layer, Rows x,
                absl::Span<const int32_t> positions, Rows q) override {
    if (!skip_) backend_->ProjectQ(layer, x, positions, q);
  }
  void ProjectKv(const LayerWeights& layer, Rows x,
                 absl::Span<const int32_t> positions,
                 absl::Span<const KvRow> kv) override {
    if (!skip_) backend_->ProjectKv(layer, x, positions, kv);
  }
  void ProjectUnrotated(const LayerWeights& layer, Rows x,
                        float* qkv) override {
    if (!skip_) backend_->ProjectUnrotated(layer, x, qkv);
  }
  void LookUpQkv(const float* table, absl::Span<const TokenId> ids,
                 absl::Span<const int32_t> positions, Rows q,
                 absl::Span<const KvRow> kv) override {
    if (!skip_) backend_->LookUpQkv(table, ids, positions, q, kv);
  }
  void Finish(const LayerWeights& layer, Rows attended, Rows x) override {
    if (!skip_) backend_->Finish(layer, attended, x);
  }
  void AttendWindow(Rows q, absl::Span<const WindowPart> parts,
                    Rows out) override {
    if (!skip_) backend_->AttendWindow(q, parts, out);
  }
  void Attend(Rows q, const KvBlock& keys, Rows out) override {
    if (!skip_) backend_->Attend(q, keys, out);
  }
  int64_t PartialBytes(int32_t rows) const override {
    return backend_->PartialBytes(rows);
  }
  void ResetPartial(int32_t rows, std::byte* partial) override {
    if (!skip_) backend_->ResetPartial(rows, partial);
  }
  void AccumulateAttention(Rows q, const KvBlock& keys,
                           std::byte* partial) override {
    if (!skip_) backend_->AccumulateAttention(q, keys, partial);
  }
  void FinishPartial(const std::byte* partial, Rows out) override {
    if (!skip_) backend_->FinishPartial(partial, out);
  }
  void AddPartial(const std::byte* partial, Rows out) override {
    if (!skip_) backend_->AddPartial(partial, out);
  }
  void LoadPartial(const PartialRing& ring, int32_t first_query, int32_t rows,
                   std::byte* partial) override {
    if (!skip_) backend_->LoadPartial(ring, first_query, rows, partial);
  }
  void StorePartial(const std::byte* partial, int32_t rows,
                    const PartialRing& ring, int32_t first_query) override {
    if (!skip_) backend_->StorePartial(partial, rows, ring, first_query);
  }
  void ComputeLogits(const Norm& norm, const Linear& table, Rows x,
                     absl::Span<const int32_t> row_indices,
                     float* logits) override {
    if (!skip_) backend_->ComputeLogits(norm, table, x, row_indices, logits);
  }
  void SetBackground(bool background) override {
    backend_->SetBackground(background);
  }
  void BeginDecode(int32_t rows, absl::Span<const SampleRow> samples) override {
    if (!skip_) backend_->BeginDecode(rows, samples);
  }
  void EndDecode() override {
    if (!skip_) backend_->EndDecode();
  }
  void SampleTokens(const Norm& norm, const Linear& table, Rows x,
                    absl::Span<const int32_t> row_indices,
                    absl::Span<const SampleRow> samples,
                    SampledToken* tokens) override {
    if (skip_) return;
    backend_->SampleTokens(norm, table, x, row_indices, samples, tokens);
  }
  void ReadKv(const KvBlock& block, std::byte* host) override {
    if (!skip_) backend_->ReadKv(block, host);
  }
  void WriteKv(const std::byte* host, const KvBlock& block) override {
    if (!skip_) backend_->WriteKv(host, block);
  }
  void Copy(const void* from, void* to, int64_t bytes) override {
    if (!skip_) backend_->Copy(from, to, bytes);
  }
  absl::Status Synchronize() override { return backend_->Synchronize(); }

 private:
  const std::unique_ptr<Backend> backend_;
  bool skip_ = false;
};

}  // namespace tlin

#endif  // TLIN_TESTS_TESTING_SKIPPING_BACKEND_H_
