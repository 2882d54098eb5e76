#include "tests/bench/bench_model.h"

#include <utility>

#include "engine/base/check.h"
#include "tests/testing/seeded_weights.h"

namespace tlin {

ModelOptions BenchModel::Options(int32_t slots, int64_t max_tokens) {
  ModelOptions options;
  options.slots = slots;
  options.max_context_tokens = max_tokens;
  options.history_tokens = slots * max_tokens;
  options.max_syncs = 1;
  return options;
}

BenchModel::BenchModel(const ModelConfig& config, const ModelOptions& options,
                       std::unique_ptr<Backend> backend)
    : config_(config), max_tokens_(options.max_context_tokens) {
  auto skipping = std::make_unique<SkippingBackend>(std::move(backend));
  backend_ = skipping.get();
  model_ = MakeSeededModel(config, 1, options, std::move(skipping));
}

void BenchModel::Place(int32_t batch, int64_t tokens) {
  const std::vector<TokenId> ids = SeededTokens(1, tokens, config_.vocab_size);
  sequences_.clear();
  backend_->set_skip(true);
  for (SlotId slot = 0; slot < batch; ++slot) {
    sequences_.push_back(
        std::make_unique<SequenceDriver>(model_.get(), slot, max_tokens_));
    if (tokens > 0) sequences_.back()->Feed(ids);
  }
  backend_->set_skip(false);
}

void BenchModel::Step() {
  // Not one token again and again: each reads its own row of the embedding.
  static constexpr TokenId kNext[] = {11, 101, 23, 7, 41};
  StepPlan plan;
  for (size_t slot = 0; slot < sequences_.size(); ++slot) {
    plan.decode.push_back(
        {static_cast<SlotId>(slot), absl::MakeConstSpan(&kNext[slot % 5], 1),
         WindowRows::Logits::kSample, sequences_[slot]->history()});
    plan.samples.emplace_back().sampling.temperature = 0;
  }
  StepOutput output;
  TLIN_CHECK(model_->Run(plan, &output).ok());
}

}  // namespace tlin
