// The model on the CPU backend against the same model over plain double
// precision loops, and the work asked for against the closed forms.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "engine/model/cost_model.h"
#include "tests/testing/model_driver.h"
#include "tests/testing/random_config.h"
#include "tests/testing/reference_backend.h"
#include "tests/testing/seeded_weights.h"

namespace tlin {
namespace {

ModelOptions OneSlot() {
  ModelOptions options;
  options.slots = 1;
  options.max_context_tokens = 1000;
  options.history_tokens = 1000;
  options.max_syncs = 1;
  return options;
}

// A model on the reference backend, which counts what it is asked for.
struct Counted {
  explicit Counted(const ModelConfig& config) {
    auto owned =
        std::make_unique<ReferenceBackend>(MakeBackendShape(config, OneSlot()));
    backend = owned.get();
    model = MakeSeededModel(config, 1, OneSlot(), std::move(owned));
  }

  ReferenceBackend* backend;  // the model's
  std::unique_ptr<Model> model;
};

class OracleTest : public testing::TestWithParam<uint32_t> {
 protected:
  const ModelConfig config_ = RandomConfig(GetParam());
};

// Largest distance of two rows of logits over the largest logit.
double Distance(const std::vector<float>& a, const std::vector<float>& b) {
  double worst = 0;
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    worst = std::max(worst, std::abs(double{a[i]} - b[i]));
    largest = std::max(largest, std::abs(double{b[i]}));
  }
  return worst / largest;
}

TEST_P(OracleTest, TheCpuBackendGivesTheLogitsOfTheReference) {
  const Counted reference(config_);
  const auto f32 = MakeSeededModel(config_, 1, OneSlot());
  const auto bf16 = MakeSeededModel(config_, 1, OneSlot(), DType::kBF16);
  const int64_t length = 2 * config_.generation_window + 9;
  const auto tokens = SeededTokens(GetParam(), length, config_.vocab_size);
  SequenceDriver expected(reference.model.get(), 0, length);
  SequenceDriver exact(f32.get(), 0, length);
  SequenceDriver rounded(bf16.get(), 0, length);
  for (const TokenId& token : tokens) {
    const auto next = absl::MakeConstSpan(&token, 1);
    const std::vector<float> logits = expected.Feed(next);
    ASSERT_LE(Distance(exact.Feed(next), logits), 1e-4);
    // bf16 keeps 8 bits of a number. LayerNorm over a few elements makes much
    // of that little.
    if (config_.n_embd >= 24) {
      ASSERT_LE(Distance(rounded.Feed(next), logits), 0.1);
    }
  }
}

TEST_P(OracleTest, ASyncCostsItsClosedForm) {
  if (!config_.has_windows()) return;
  const Counted counted(config_);
  const int64_t history = 30 * config_.generation_window;
  const auto tokens = SeededTokens(1, history, config_.vocab_size);
  const double before = counted.backend->flops();
  counted.model->Open(0, history + 1);
  counted.model->BeginSync(0, tokens);
  StepPlan plan;
  plan.sync.push_back({0, counted.model->SyncUnitsLeft(0)});
  StepOutput output;
  ASSERT_TRUE(counted.model->Run(plan, &output).ok());
  EXPECT_EQ(counted.model->SyncUnitsLeft(0), 0);
  EXPECT_EQ(counted.backend->flops() - before, SyncFlops(config_, history));
  counted.model->Close(0);
}

TEST_P(OracleTest, ARowCostsItsClosedForm) {
  // A window of "auto" rows belongs to the history, not to the context.
  if (config_.has_windows() && config_.history_window == 0) return;
  const Counted counted(config_);
  const int64_t length = std::max(1, 3 * config_.generation_window);
  const auto tokens = SeededTokens(1, length, config_.vocab_size);
  SequenceDriver sequence(counted.model.get(), 0, length);
  if (length > 1) {
    sequence.Feed(absl::MakeConstSpan(tokens).first(length - 1));
  }
  if (config_.generation_window == 1) return;  // the last row needs a sync
  const double before = counted.backend->flops();
  sequence.Feed(absl::MakeConstSpan(tokens).last(1));
  EXPECT_EQ(counted.backend->flops() - before, RowFlops(config_, length));
}

INSTANTIATE_TEST_SUITE_P(Random, OracleTest, testing::Range(1u, 26u));

}  // namespace
}  // namespace tlin
