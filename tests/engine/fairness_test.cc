// One sequence's sync is never another's stall. Counted in steps.
#include <algorithm>
#include <memory>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/harness.h"

namespace tlin {
namespace {

using ::testing::IsEmpty;

PuppetOptions Wide() {
  PuppetOptions options;
  options.slots = 6;
  options.max_decode_rows = 6;
  options.max_context_tokens = 100000;
  options.generation_window = 16;
  return options;
}

TEST(FairnessTest, OthersDecodeInEveryStepOfALongSync) {
  Harness harness(Wide());
  std::vector<std::shared_ptr<RecordingSink>> others;
  for (uint64_t i = 0; i < 3; ++i) {
    others.push_back(harness.Submit(Harness::MakeRequest(1, 15, i)));
  }
  harness.Step();
  // 20,000 units at 100 a step.
  auto reader = harness.Submit(Harness::MakeRequest(2001, 3, 9));
  for (size_t step = 0; step < 14; ++step) {
    harness.Step();
    EXPECT_EQ(harness.model.syncs_in_flight(), 1);
    for (const auto& other : others) {
      EXPECT_EQ(other->token_ids().size(), step + 2);
    }
  }
  EXPECT_FALSE(reader->ended());
  ASSERT_TRUE(harness.RunUntilIdle());
  EXPECT_EQ(reader->token_ids().size(), 3u);
  EXPECT_THAT(harness.model.faults, IsEmpty());
}

TEST(FairnessTest, AShortPromptDoesNotWaitBehindLongOnes) {
  PuppetOptions options = Wide();
  options.max_syncs = 3;
  Harness harness(options);
  std::vector<std::shared_ptr<RecordingSink>> readers;
  for (uint64_t i = 0; i < 3; ++i) {
    readers.push_back(harness.Submit(Harness::MakeRequest(8001, 2, i)));
  }
  for (int i = 0; i < 10; ++i) harness.Step();
  // Of equals the first has it all: the others have not begun.
  EXPECT_EQ(harness.model.syncs_in_flight(), 1);
  // 160 units: a sync of three steps and a row beside the oldest's quarter.
  auto quick = harness.Submit(Harness::MakeRequest(17, 2, 8));
  int steps = 0, most = 0;
  while (quick->token_ids().empty()) {
    ASSERT_LT(++steps, 6);
    harness.Step();
    most = std::max(most, harness.model.syncs_in_flight());
  }
  EXPECT_EQ(most, 2);
  // A prompt of one window needs no sync.
  auto shorter = harness.Submit(Harness::MakeRequest(5, 2, 8));
  for (steps = 0; shorter->token_ids().empty();) {
    ASSERT_LT(++steps, 3);
    harness.Step();
  }
  for (const auto& reader : readers) EXPECT_TRUE(reader->token_ids().empty());
  ASSERT_TRUE(harness.RunUntilIdle());
  for (const auto& reader : readers) EXPECT_EQ(reader->token_ids().size(), 2u);
  EXPECT_THAT(harness.model.faults, IsEmpty());
}

TEST(FairnessTest, ALongPromptIsReadBesideEndlessShortOnes) {
  Harness harness(Wide());
  auto reader = harness.Submit(Harness::MakeRequest(2001, 2, 9));
  int steps = 0;
  // The oldest gets a quarter of each step: 20,000 units by 25.
  for (uint64_t i = 0; reader->token_ids().empty(); ++i) {
    ASSERT_LT(++steps, 900);
    if (i % 3 == 0) harness.Submit(Harness::MakeRequest(17, 2, i));
    harness.Step();
  }
  EXPECT_GE(steps, 200);
  EXPECT_THAT(harness.model.faults, IsEmpty());
}

TEST(FairnessTest, MoreSequencesThanDecodeRowsTakeTurns) {
  PuppetOptions options = Wide();
  options.max_decode_rows = 2;
  options.generation_window = 0;
  Harness harness(options);
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  for (uint64_t i = 0; i < 6; ++i) {
    sinks.push_back(harness.Submit(Harness::MakeRequest(1, 100, i)));
  }
  for (int i = 0; i < 60; ++i) harness.Step();
  size_t least = 1000, most = 0;
  for (const auto& sink : sinks) {
    least = std::min(least, sink->token_ids().size());
    most = std::max(most, sink->token_ids().size());
  }
  EXPECT_LE(most - least, 1u);
  EXPECT_GE(least, 18u);
}

}  // namespace
}  // namespace tlin
