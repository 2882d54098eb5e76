// What holds of every configuration: the cache changes nothing, the cuts of the
// work change nothing, the company changes nothing.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "engine/model/cost_model.h"
#include "tests/testing/model_driver.h"
#include "tests/testing/random_config.h"
#include "tests/testing/seeded_weights.h"

namespace tlin {
namespace {

ModelOptions SmallOptions() {
  ModelOptions options;
  options.slots = 33;
  options.max_context_tokens = 2000;
  options.history_tokens = 40000;
  options.max_syncs = 2;
  return options;
}

class ModelPropertiesTest : public testing::TestWithParam<uint32_t> {
 protected:
  ModelPropertiesTest()
      : config_(RandomConfig(GetParam())),
        length_(std::max(60, 3 * config_.generation_window + 5)),
        tokens_(SeededTokens(GetParam(), length_, config_.vocab_size)) {}

  std::unique_ptr<Model> MakeModel(DType dtype = DType::kF32,
                                   int threads = 2) const {
    return MakeSeededModel(config_, GetParam(), SmallOptions(), dtype, threads);
  }
  // The logits after all tokens, fed at once to an empty sequence.
  std::vector<float> Uncached(Model* model, int64_t tokens) const {
    SequenceDriver sequence(model, 32, length_);
    return sequence.Feed(absl::MakeConstSpan(tokens_).first(tokens));
  }

  const ModelConfig config_;
  const int64_t length_;
  const std::vector<TokenId> tokens_;
};

TEST_P(ModelPropertiesTest, TheCachedStepIsTheUncachedForwardAtEveryPosition) {
  const auto model = MakeModel();
  SequenceDriver sequence(model.get(), 0, length_);
  for (int64_t i = 0; i < length_; ++i) {
    const auto cached = sequence.Feed(absl::MakeConstSpan(&tokens_[i], 1));
    ASSERT_EQ(cached, Uncached(model.get(), i + 1)) << "position " << i;
  }
}

TEST_P(ModelPropertiesTest, APromptInAnyPiecesGivesTheSameLogits) {
  const auto model = MakeModel(DType::kBF16);
  const auto whole = Uncached(model.get(), length_);
  std::mt19937 random(GetParam());
  for (int trial = 0; trial < 5; ++trial) {
    SequenceDriver sequence(model.get(), 0, length_);
    sequence.set_fill_rows(1 + trial * 3);
    absl::Span<const TokenId> rest = tokens_;
    std::vector<float> logits;
    while (!rest.empty()) {
      const size_t piece =
          std::uniform_int_distribution<size_t>(1, rest.size())(random);
      logits = sequence.Feed(rest.first(piece));
      rest.remove_prefix(piece);
    }
    EXPECT_EQ(logits, whole);
  }
}

TEST_P(ModelPropertiesTest, ASyncInSlicesOfAnySizeGivesTheSameState) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const auto model = MakeModel(dtype);
    const auto whole = Uncached(model.get(), length_);
    for (const int64_t units : {0, 1, 3, 1000}) {
      SequenceDriver sequence(model.get(), 0, length_);
      sequence.set_slice_units(units);
      EXPECT_EQ(sequence.Feed(tokens_), whole) << units << " units";
    }
  }
}

TEST_P(ModelPropertiesTest, ThreadsChangeNothing) {
  const auto one = MakeModel(DType::kF32, 1);
  const auto three = MakeModel(DType::kF32, 3);
  EXPECT_EQ(Uncached(one.get(), length_), Uncached(three.get(), length_));
}

TEST_P(ModelPropertiesTest, ARowIsTheSameAloneAndAmong32Others) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const auto model = MakeModel(dtype);
    const int64_t common = length_ - 1;
    const auto alone = Uncached(model.get(), length_);
    std::vector<std::unique_ptr<SequenceDriver>> sequences;
    StepPlan plan;
    for (SlotId slot = 0; slot < 33; ++slot) {
      sequences.push_back(
          std::make_unique<SequenceDriver>(model.get(), slot, length_));
      // Others are elsewhere in their own texts.
      const int64_t fed = slot == 7 ? common : 1 + slot % common;
      sequences.back()->Feed(absl::MakeConstSpan(tokens_).first(fed));
      if (slot != 7 && config_.has_windows() &&
          model->Extent(slot).window_tokens == config_.generation_window) {
        continue;  // would have to sync first
      }
      plan.decode.push_back({slot, absl::MakeConstSpan(&tokens_[fed], 1),
                             WindowRows::Logits::kLast,
                             absl::MakeConstSpan(tokens_).first(
                                 model->Extent(slot).history_tokens)});
    }
    if (config_.has_windows() &&
        model->Extent(7).window_tokens == config_.generation_window) {
      continue;
    }
    StepOutput output;
    ASSERT_TRUE(model->Run(plan, &output).ok());
    for (size_t i = 0; i < plan.decode.size(); ++i) {
      if (plan.decode[i].slot != 7) continue;
      const auto row = output.logits.row(static_cast<int32_t>(i));
      EXPECT_EQ(std::vector<float>(row.begin(), row.end()), alone);
    }
  }
}

TEST_P(ModelPropertiesTest, ADerivedHistoryHasTheBitsOfAStoredOne) {
  if (!config_.has_windows()) return;
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    ModelConfig config = config_;
    config.derived_history = !config_.derived_history;
    const auto model = MakeModel(dtype);
    const auto other =
        MakeSeededModel(config, GetParam(), SmallOptions(), dtype);
    SequenceDriver sequence(model.get(), 0, length_);
    SequenceDriver same(other.get(), 0, length_);
    for (const TokenId& token : tokens_) {
      const auto next = absl::MakeConstSpan(&token, 1);
      ASSERT_EQ(sequence.Feed(next), same.Feed(next));
    }
    EXPECT_EQ(Uncached(other.get(), length_), Uncached(model.get(), length_));
  }
}

TEST_P(ModelPropertiesTest, UnitsAreKnownBeforehandAndFallToZero) {
  if (!config_.has_windows()) return;
  const auto model = MakeModel();
  model->Open(0, length_);
  const int64_t history = 2 * config_.generation_window;
  model->BeginSync(0, absl::MakeConstSpan(tokens_).first(history));
  int64_t left = model->SyncUnitsLeft(0);
  EXPECT_EQ(left, model->SyncUnits(history));
  EXPECT_EQ(model->syncs_in_flight(), 1);
  while (left > 0) {
    StepPlan plan;
    plan.sync.push_back({0, 1});
    StepOutput output;
    ASSERT_TRUE(model->Run(plan, &output).ok());
    ASSERT_LT(model->SyncUnitsLeft(0), left);
    left = model->SyncUnitsLeft(0);
  }
  EXPECT_EQ(model->syncs_in_flight(), 0);
  model->Close(0);
}

INSTANTIATE_TEST_SUITE_P(Random, ModelPropertiesTest, testing::Range(1u, 26u));

// What the random configurations are there for.
TEST(RandomConfigTest, TheSeedsReachEveryKindOfShape) {
  std::map<std::string, int> seen;
  for (uint32_t seed = 1; seed <= 25; ++seed) {
    const ModelConfig c = RandomConfig(seed);
    ++seen[ArchitectureName(c.architecture)];
    seen["head 36"] += c.head_size() == 36;
    if (!c.has_windows()) continue;
    seen["auto"] += c.history_window == 0;
    seen["one block"] += c.n_block == 1;
    seen["three blocks"] += c.n_block == 3;
    seen["depth 2"] += c.block_depth == 2;
    seen["depth 4"] += c.block_depth == 4;
    seen["W_oh < W_og"] += c.history_window < c.generation_window;
    seen["W_oh > W_og"] += c.history_window > c.generation_window;
  }
  EXPECT_EQ(seen.size(), 11u);
  for (const auto& [what, times] : seen) EXPECT_GT(times, 1) << what;
}

TEST(ModelMemoryTest, Bf16HalvesWeightsAndState) {
  ModelConfig config = RandomConfig(3);
  ModelOptions options = SmallOptions();
  const ModelMemory f32 = MakeSeededModel(config, 1, options)->memory();
  const ModelMemory bf16 =
      MakeSeededModel(config, 1, options, DType::kBF16)->memory();
  EXPECT_EQ(bf16.session_cache_bytes,
            SlotBytes(config, DType::kBF16, options.max_context_tokens));
  EXPECT_LT(bf16.session_cache_bytes, f32.session_cache_bytes * 6 / 10);
  EXPECT_EQ(bf16.history, HistoryPages(config, options.history_tokens) *
                              HistoryPageBytes(config, DType::kBF16));
  EXPECT_LT(bf16.weights, f32.weights * 7 / 10);
}

TEST(ModelMemoryTest, NothingButTokenIdsGrowsWithATConstFormersHistory) {
  ModelConfig config = RandomConfig(2);
  config.architecture = Architecture::kTConstFormer;
  config.generation_window = 20;
  config.history_window = 24;
  ModelOptions options = SmallOptions();
  options.max_context_tokens = 200000;
  const auto model = MakeSeededModel(config, 1, options);
  const ModelMemory before = model->memory();
  for (const int64_t length : {1000, 100000}) {
    SequenceDriver sequence(model.get(), 0, length);
    sequence.Feed(SeededTokens(1, length, config.vocab_size));
    EXPECT_EQ(model->memory().session_cache, before.session_cache);
    EXPECT_EQ(model->memory().workspace, before.workspace);
    EXPECT_EQ(model->memory().history_used, 0);
  }
  EXPECT_EQ(before.session_cache_bytes,
            SlotBytes(config, DType::kF32, options.max_context_tokens));
  EXPECT_EQ(before.session_cache, options.slots * before.session_cache_bytes);
}

TEST(ModelMemoryTest, HistoryPagesAreReservedAndReturned) {
  ModelConfig config = RandomConfig(1);
  ASSERT_EQ(config.architecture, Architecture::kTLinFormer);
  config.derived_history = false;
  ModelOptions options = SmallOptions();
  options.history_tokens = 1024;  // four pages
  const auto model = MakeSeededModel(config, 1, options);
  EXPECT_FALSE(model->CouldEverOpen(1025));
  EXPECT_TRUE(model->CanOpen(1024));
  model->Open(0, 257);
  EXPECT_EQ(model->memory().history_used, model->memory().history / 2);
  EXPECT_FALSE(model->CanOpen(513));
  EXPECT_TRUE(model->CanOpen(512));
  model->Close(0);
  EXPECT_EQ(model->memory().history_used, 0);
}

TEST(ModelMemoryTest, OfADerivedHistoryTheFirstBlockIsNotStored) {
  ModelConfig config = RandomConfig(1);
  for (const int32_t blocks : {1, 3}) {
    config.n_block = blocks;
    config.derived_history = false;
    const auto stored = MakeSeededModel(config, 1, SmallOptions());
    config.derived_history = true;
    const auto derived = MakeSeededModel(config, 1, SmallOptions());
    EXPECT_EQ(stored->memory().vocabulary_table, 0);
    EXPECT_EQ(derived->memory().vocabulary_table, VocabularyTableBytes(config));
    EXPECT_EQ(derived->memory().history * blocks,
              stored->memory().history * (blocks - 1));
    const StateExtent extent = {10 * config.generation_window, 1};
    EXPECT_EQ(stored->StateBytes(extent).value() -
                  derived->StateBytes(extent).value(),
              KvRowsBytes(extent.history_tokens, config.n_embd, DType::kF32));
    // Of one block nothing is: a session has no pages, however long it gets.
    EXPECT_EQ(derived->CouldEverOpen(int64_t{1} << 30), blocks == 1);
  }
}

TEST(ModelMemoryTest, ASyncIsDroppedInTheMiddle) {
  ModelConfig config = RandomConfig(2);
  config.history_window = 8;
  const auto model = MakeSeededModel(config, 1, SmallOptions());
  const auto tokens =
      SeededTokens(1, 40 * config.generation_window, config.vocab_size);
  model->Open(3, 2000);
  model->BeginSync(3, tokens);
  StepPlan plan;
  plan.sync.push_back({3, 1});
  StepOutput output;
  ASSERT_TRUE(model->Run(plan, &output).ok());
  model->Close(3);
  EXPECT_EQ(model->syncs_in_flight(), 0);
  model->Open(3, 2000);
  EXPECT_EQ(model->Extent(3).window_tokens, 0);
  model->Close(3);
}

}  // namespace
}  // namespace tlin
