// Nothing is taken from the heap in a step: not by a decode step, a fill or a
// slice of a sync, on whichever thread. A binary of its own: it replaces
// operator new.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "tests/testing/allocation_counter.h"
#include "tests/testing/model_driver.h"
#include "tests/testing/seeded_weights.h"

namespace tlin {
namespace {

class AllocationTest : public testing::TestWithParam<Architecture> {};

TEST_P(AllocationTest, AStepTakesNothingFromTheHeap) {
  ModelConfig config;
  config.architecture = GetParam();
  config.vocab_size = 300;
  config.n_embd = 72;
  config.n_head = 2;
  if (config.has_windows()) {
    config.n_block = 2;
    config.block_depth = 3;
    config.history_window = config.generation_window = 64;
  } else {
    config.n_layer = 3;
  }
  ModelOptions options;
  options.slots = 8;
  options.max_context_tokens = 2000;
  options.history_tokens = 8 * 2048;  // whole pages
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const auto model = MakeSeededModel(config, 1, options, dtype);
    const auto tokens = SeededTokens(1, 1024, config.vocab_size);
    StepPlan decode;
    for (SlotId slot = 0; slot < 6; ++slot) {
      model->Open(slot, 2000);
      decode.decode.push_back({slot, absl::MakeConstSpan(&tokens[slot], 1),
                               WindowRows::Logits::kSample});
      decode.samples.emplace_back().sampling.top_p = 0.9f;
    }
    StepPlan fill;
    fill.fill.push_back(
        {6, absl::MakeConstSpan(tokens).first(64), WindowRows::Logits::kLast});
    model->Open(6, 2000);
    StepPlan sync;
    sync.sync.push_back({7, 10});
    model->Open(7, 2000);
    if (config.has_windows()) model->BeginSync(7, tokens);
    StepOutput output;

    const int64_t before = AllocationCount();
    bool ok = model->Run(fill, &output).ok();
    while (model->SyncUnitsLeft(7) > 0) ok &= model->Run(sync, &output).ok();
    for (int i = 0; i < 60; ++i) ok &= model->Run(decode, &output).ok();
    EXPECT_EQ(AllocationCount() - before, 0);
    EXPECT_TRUE(ok);
    for (SlotId slot = 0; slot < 8; ++slot) model->Close(slot);
  }
}

INSTANTIATE_TEST_SUITE_P(Architectures, AllocationTest,
                         testing::Values(Architecture::kTLinFormer,
                                         Architecture::kTConstFormer,
                                         Architecture::kTransformer),
                         [](const auto& info) {
                           return ArchitectureName(info.param);
                         });

// A session from its opening to its first token, a sync of the whole history
// among it: nothing but the caller's token ids is there for each token.
TEST(ConstantCacheTest, ASessionTakesNothingAtAnyLength) {
  ModelConfig config;
  config.architecture = Architecture::kTConstFormer;
  config.vocab_size = 100;
  config.n_embd = 24;
  config.n_head = 2;
  config.n_block = 2;
  config.block_depth = 3;
  config.history_window = 40;
  config.generation_window = 50;
  ModelOptions options;
  options.slots = 2;
  options.max_context_tokens = 200000;
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const auto model = MakeSeededModel(config, 1, options, dtype);
    const ModelMemory memory = model->memory();
    const auto tokens = SeededTokens(1, 100001, config.vocab_size);
    for (const int64_t history : {1000, 100000}) {
      StepPlan sync, fill;
      sync.sync.push_back({0, 1000});
      fill.fill.push_back(
          {0, {&tokens[history], 1}, WindowRows::Logits::kLast});
      StepOutput output;
      const int64_t allocations = AllocationCount();
      const int64_t heap = HeapBytes();
      model->Open(0, history + 1);
      model->BeginSync(0, absl::MakeConstSpan(tokens).first(history));
      bool ok = true;
      int64_t most = heap;
      while (model->SyncUnitsLeft(0) > 0) {
        ok &= model->Run(sync, &output).ok();
        most = std::max(most, HeapBytes());
      }
      ok &= model->Run(fill, &output).ok();
      most = std::max(most, HeapBytes());
      EXPECT_TRUE(ok);
      EXPECT_EQ(AllocationCount() - allocations, 0) << history;
      EXPECT_EQ(most - heap, 0) << history;
      const ModelMemory now = model->memory();
      EXPECT_EQ(now.session_cache, memory.session_cache);
      EXPECT_EQ(now.workspace, memory.workspace);
      EXPECT_EQ(now.history, 0);
      model->Close(0);
    }
  }
}

}  // namespace
}  // namespace tlin
