// Syncs beside each other and beside decoding; what a later sync keeps.
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "engine/model/cost_model.h"
#include "engine/model/sync_job.h"
#include "tests/testing/model_driver.h"
#include "tests/testing/paper_config.h"
#include "tests/testing/random_config.h"
#include "tests/testing/reference_backend.h"
#include "tests/testing/seeded_weights.h"

namespace tlin {
namespace {

constexpr int64_t kFourTiles = 4 * kTileRows;

ModelConfig SyncConfig(Architecture architecture) {
  ModelConfig config;
  config.architecture = architecture;
  config.vocab_size = 50;
  config.n_embd = 16;
  config.n_head = 2;
  config.n_block = 2;
  config.block_depth = 3;
  config.history_window = 24;
  config.generation_window = 40;  // tiles end within windows
  return config;
}

ModelOptions SyncOptions() {
  ModelOptions options;
  options.slots = 6;
  options.max_context_tokens = 2 * kFourTiles;
  options.history_tokens = 12 * kFourTiles;
  options.max_syncs = 4;
  return options;
}

class SyncTest : public testing::TestWithParam<Architecture> {
 protected:
  SyncTest()
      : config_(SyncConfig(GetParam())),
        tokens_(SeededTokens(3, kFourTiles, config_.vocab_size)),
        model_(MakeSeededModel(config_, 3, SyncOptions())) {}

  // The logits after `count` tokens, in one go and alone.
  std::vector<float> Alone(int64_t count) {
    SequenceDriver sequence(model_.get(), 5, kFourTiles);
    return sequence.Feed(absl::MakeConstSpan(tokens_).first(count));
  }

  const ModelConfig config_;
  const std::vector<TokenId> tokens_;
  const std::unique_ptr<Model> model_;
};

TEST_P(SyncTest, FourAtOnceAndADecoderDoNotDisturbEachOther) {
  const int64_t histories[] = {40, 1000, 320, 560};
  std::vector<std::vector<float>> expected;
  for (const int64_t history : histories) {
    expected.push_back(Alone(history + 1));
  }
  const std::vector<float> decoded = Alone(40);

  for (SlotId slot = 0; slot < 4; ++slot) {
    model_->Open(slot, kFourTiles);
    model_->BeginSync(slot,
                      absl::MakeConstSpan(tokens_).first(histories[slot]));
  }
  EXPECT_EQ(model_->syncs_in_flight(), 4);
  model_->Open(4, kFourTiles);
  StepPlan plan;
  StepOutput output;
  for (int64_t step = 0; model_->syncs_in_flight() > 0 || step < 40; ++step) {
    plan.clear();
    if (step < 40) {
      plan.decode.push_back({4, absl::MakeConstSpan(&tokens_[step], 1),
                             WindowRows::Logits::kLast});
    }
    for (SlotId slot = 0; slot < 4; ++slot) {
      const int64_t left = model_->SyncUnitsLeft(slot);
      if (left > 0) plan.sync.push_back({slot, (step + slot) % 3});
    }
    ASSERT_TRUE(model_->Run(plan, &output).ok());
    if (step == 39) {
      const auto row = output.logits.row(0);
      EXPECT_EQ(std::vector<float>(row.begin(), row.end()), decoded);
    }
  }
  for (SlotId slot = 0; slot < 4; ++slot) {
    plan.clear();
    plan.decode.push_back({slot,
                           absl::MakeConstSpan(&tokens_[histories[slot]], 1),
                           WindowRows::Logits::kLast});
    ASSERT_TRUE(model_->Run(plan, &output).ok());
    const auto row = output.logits.row(0);
    EXPECT_EQ(std::vector<float>(row.begin(), row.end()), expected[slot]);
  }
  for (SlotId slot = 0; slot < 5; ++slot) model_->Close(slot);
}

TEST_P(SyncTest, ASequenceThatSyncsOftenIsTheSameAsOneThatSyncsOnce) {
  SequenceDriver sequence(model_.get(), 0, kFourTiles);
  sequence.set_slice_units(1);
  for (int64_t fed = 0; fed + 41 <= kFourTiles; fed += 40) {
    const auto logits =
        sequence.Feed(absl::MakeConstSpan(tokens_).subspan(fed, 40));
    if (fed % 240 == 0) {
      EXPECT_EQ(logits, Alone(fed + 40));
    }
  }
}

TEST_P(SyncTest, ALaterSyncKeepsTheFirstBlocksKeysWhereTheyArePaged) {
  auto owned = std::make_unique<ReferenceBackend>(
      MakeBackendShape(config_, SyncOptions()));
  const ReferenceBackend& backend = *owned;
  const auto model =
      MakeSeededModel(config_, 3, SyncOptions(), std::move(owned));
  const auto sync = [&](int64_t history) {
    const double before = backend.product_flops();
    model->BeginSync(0, absl::MakeConstSpan(tokens_).first(history));
    const int64_t units = model->SyncUnitsLeft(0);
    StepPlan plan;
    plan.sync.push_back({0, units});
    StepOutput output;
    EXPECT_TRUE(model->Run(plan, &output).ok());
    EXPECT_LE(units, model->SyncUnits(history));
    return backend.product_flops() - before;
  };
  model->Open(0, kFourTiles);
  sync(600);
  const double later = sync(640);
  model->Close(0);
  model->Open(0, kFourTiles);
  const double whole = sync(640);
  model->Close(0);
  const double key_and_value = 4.0 * config_.n_embd * config_.n_embd;
  const double kept = GetParam() == Architecture::kTLinFormer ? 512 : 0;
  EXPECT_EQ(whole - later, kept * key_and_value);
}

INSTANTIATE_TEST_SUITE_P(Architectures, SyncTest,
                         testing::Values(Architecture::kTLinFormer,
                                         Architecture::kTConstFormer),
                         [](const auto& info) {
                           return ArchitectureName(info.param);
                         });

TEST(SyncJobTest, TilesEndAtMultiplesAndCoverEveryPositionOnce) {
  const ModelConfig config = SyncConfig(Architecture::kTLinFormer);
  for (const int64_t history : {40, 240, 280, 1000, 5120}) {
    SyncJob job(config, history, 0);
    std::vector<int64_t> streamed(2);
    int64_t left = job.work_left().total();
    while (!job.done()) {
      const SyncStep step = job.step();
      if (step.stage == SyncStep::Stage::kStream) {
        EXPECT_EQ(step.position, streamed[step.block]);
        EXPECT_EQ(step.position % kTileRows, 0);
        streamed[step.block] += step.rows;
      }
      EXPECT_LE(step.rows, kTileRows);
      EXPECT_GE(job.step_work().total(), 1);
      left -= job.step_work().total();
      job.Advance();
      EXPECT_EQ(job.work_left().total(), left);
    }
    EXPECT_EQ(left, 0);
    EXPECT_EQ(streamed, std::vector<int64_t>(2, history));
  }
}

TEST(SyncJobTest, ProductsAndAttentionAreThoseOfTheClosedForm) {
  for (const int64_t history : {256, 2560, 100096}) {
    const ModelConfig config = PaperConfig(Architecture::kTConstFormer);
    const SyncWork work = SyncJob(config, history, 0).work_left();
    const double attention = SyncAttentionFlops(config, history) / 1e6;
    const double all = SyncFlops(config, history) / 1e6;
    // Each step is told in whole units.
    EXPECT_NEAR(work.attention, attention, 0.01 * attention) << history;
    EXPECT_NEAR(work.products, all - attention, 0.01 * all) << history;
  }
}

}  // namespace
}  // namespace tlin
