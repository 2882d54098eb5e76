#include "tests/testing/model_driver.h"

#include <algorithm>
#include <utility>

#include "engine/base/check.h"
#include "tests/testing/seeded_weights.h"

namespace tlin {

std::unique_ptr<Model> MakeSeededModel(const ModelConfig& config, uint64_t seed,
                                       const ModelOptions& options,
                                       std::unique_ptr<Backend> backend) {
  const SeededWeights seeded = MakeSeededWeights(config, seed);
  auto weights = MakeWeights(config, seeded.tensors, "seeded", backend.get());
  TLIN_CHECK(weights.ok());
  auto model =
      Model::Create(config, options, *std::move(weights), std::move(backend));
  TLIN_CHECK(model.ok());
  return *std::move(model);
}

SequenceDriver::SequenceDriver(ModelRunner* model, SlotId slot,
                               int64_t max_tokens)
    : model_(model), slot_(slot), fill_rows_(model->info().max_fill_rows) {
  model_->Open(slot, max_tokens);
  tokens_.reserve(static_cast<size_t>(max_tokens));
}

SequenceDriver::~SequenceDriver() { model_->Close(slot_); }

void SequenceDriver::Sync() {
  model_->BeginSync(slot_, tokens_);
  while (model_->SyncUnitsLeft(slot_) > 0) {
    StepPlan plan;
    plan.sync.push_back({slot_, slice_units_});
    StepOutput output;
    TLIN_CHECK(model_->Run(plan, &output).ok());
  }
}

std::vector<std::vector<float>> SequenceDriver::Fill(
    absl::Span<const TokenId> tokens, WindowRows::Logits wanted) {
  std::vector<std::vector<float>> rows;
  int32_t most = std::min(fill_rows_, model_->info().max_fill_rows);
  if (wanted == WindowRows::Logits::kAll) {
    most = std::min(most, model_->info().max_logit_rows);
  }
  while (!tokens.empty()) {
    const auto part =
        tokens.first(std::min(tokens.size(), static_cast<size_t>(most)));
    tokens.remove_prefix(part.size());
    tokens_.insert(tokens_.end(), part.begin(), part.end());
    StepPlan plan;
    plan.fill.push_back({slot_, part, wanted, history()});
    StepOutput output;
    TLIN_CHECK(model_->Run(plan, &output).ok());
    for (int32_t i = 0; i < output.logits.rows; ++i) {
      rows.emplace_back(output.logits.row(i).begin(),
                        output.logits.row(i).end());
    }
  }
  return rows;
}

absl::Span<const TokenId> SequenceDriver::history() const {
  return absl::MakeConstSpan(tokens_).first(
      static_cast<size_t>(model_->Extent(slot_).history_tokens));
}

std::vector<std::byte> SequenceDriver::Save() {
  std::vector<std::byte> state(
      static_cast<size_t>(model_->StateBytes(model_->Extent(slot_)).value()));
  TLIN_CHECK(model_->SaveState(slot_, absl::MakeSpan(state)).ok());
  return state;
}

void SequenceDriver::Load(absl::Span<const TokenId> tokens,
                          const StateExtent& extent,
                          absl::Span<const std::byte> state) {
  TLIN_CHECK(tokens_.empty() &&
             static_cast<int64_t>(tokens.size()) == extent.tokens());
  TLIN_CHECK(model_->LoadState(slot_, extent, state).ok());
  tokens_.assign(tokens.begin(), tokens.end());
}

std::vector<float> SequenceDriver::Feed(absl::Span<const TokenId> tokens) {
  const auto window = static_cast<int64_t>(model_->info().generation_window);
  if (window == 0) return Fill(tokens, WindowRows::Logits::kLast).back();
  const int64_t total = this->tokens() + static_cast<int64_t>(tokens.size());
  const int64_t history = (total - 1) / window * window;
  if (history > this->tokens() - model_->Extent(slot_).window_tokens) {
    const auto into_history = tokens.first(history - this->tokens());
    tokens_.insert(tokens_.end(), into_history.begin(), into_history.end());
    tokens.remove_prefix(into_history.size());
    Sync();
  }
  return Fill(tokens, WindowRows::Logits::kLast).back();
}

std::vector<std::vector<float>> SequenceDriver::Score(
    absl::Span<const TokenId> tokens) {
  const auto window = static_cast<int64_t>(model_->info().generation_window);
  const auto most = window == 0 ? tokens.size() : static_cast<size_t>(window);
  std::vector<std::vector<float>> rows;
  while (!tokens.empty()) {
    if (!tokens_.empty()) Sync();
    const auto part = tokens.first(std::min(tokens.size(), most));
    tokens.remove_prefix(part.size());
    for (auto& row : Fill(part, WindowRows::Logits::kAll)) {
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

}  // namespace tlin
