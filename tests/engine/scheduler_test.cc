#include "engine/scheduler.h"

#include <algorithm>
#include <random>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tlin {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const TokenId kTokens[64] = {};

Runnable Decode(SlotId slot, int64_t ready = 0) {
  Runnable r;
  r.slot = slot;
  r.rows = {slot, absl::MakeConstSpan(kTokens, 1), WindowRows::Logits::kSample};
  r.ready_step = ready;
  return r;
}

Runnable Fill(SlotId slot, size_t rows, int64_t units, int64_t left,
              WindowRows::Logits logits = WindowRows::Logits::kNone) {
  Runnable r;
  r.work = Runnable::Work::kFill;
  r.slot = slot;
  r.rows = {slot, absl::MakeConstSpan(kTokens, rows), logits};
  r.cost = units;
  r.cost_left = left;
  return r;
}

Runnable Sync(SlotId slot, int64_t left, bool begun, int64_t ready = 0) {
  Runnable r;
  r.work = Runnable::Work::kSync;
  r.slot = slot;
  r.cost_left = left;
  r.begun = begun;
  r.ready_step = ready;
  return r;
}

int64_t UnitsOf(const StepPlan& plan, SlotId slot) {
  for (const SyncSlice& slice : plan.sync) {
    if (slice.slot == slot) return slice.cost;
  }
  return 0;
}

std::vector<SlotId> DecodeSlots(const StepPlan& plan) {
  std::vector<SlotId> slots;
  for (const WindowRows& rows : plan.decode) slots.push_back(rows.slot);
  return slots;
}

TEST(SchedulerTest, AllThatDecodeRunBesideOneBudgetOfBulkWork) {
  Scheduler scheduler({8, 8, 2});
  StepPlan plan;
  scheduler.Plan(
      {Decode(0), Sync(1, 5000, true), Decode(2), Fill(3, 4, 40, 80)}, 100,
      &plan);
  EXPECT_THAT(DecodeSlots(plan), ElementsAre(0, 2));
  ASSERT_THAT(plan.fill, SizeIs(1));
  EXPECT_EQ(UnitsOf(plan, 1), 60);
}

TEST(SchedulerTest, TooManyDecodeRowsTakeTurns) {
  Scheduler scheduler({2, 8, 2});
  StepPlan plan;
  scheduler.Plan({Decode(0, 5), Decode(1, 3), Decode(2, 4)}, 100, &plan);
  EXPECT_THAT(DecodeSlots(plan), ElementsAre(1, 2));
}

TEST(SchedulerTest, TheShortestGetsMostAndTheOldestItsShare) {
  Scheduler scheduler({8, 8, 4});
  StepPlan plan;
  scheduler.Plan(
      {Sync(0, 9000, true, 1), Sync(1, 5000, true, 2), Sync(2, 300, true, 3)},
      100, &plan);
  EXPECT_EQ(UnitsOf(plan, 0), 25);
  EXPECT_EQ(UnitsOf(plan, 2), 75);
  EXPECT_EQ(UnitsOf(plan, 1), 0);
}

TEST(SchedulerTest, UnitsThatAShortOneLeavesGoOn) {
  Scheduler scheduler({8, 8, 4});
  StepPlan plan;
  scheduler.Plan({Sync(0, 9000, true, 1), Sync(1, 20, true, 2)}, 100, &plan);
  EXPECT_EQ(UnitsOf(plan, 1), 20);
  EXPECT_EQ(UnitsOf(plan, 0), 80);
}

TEST(SchedulerTest, TheLastWorkspaceIsForAShorterSync) {
  Scheduler scheduler({8, 8, 2});
  StepPlan plan;
  scheduler.Plan({Sync(0, 5000, true, 1), Sync(1, 6000, false, 2)}, 100, &plan);
  EXPECT_EQ(UnitsOf(plan, 1), 0);
  EXPECT_EQ(UnitsOf(plan, 0), 100);
  scheduler.Plan(
      {Sync(0, 5000, true, 1), Sync(1, 6000, false, 2), Sync(2, 50, false, 3)},
      100, &plan);
  EXPECT_EQ(UnitsOf(plan, 2), 50);
  EXPECT_EQ(UnitsOf(plan, 0), 50);
}

TEST(SchedulerTest, OneWorkspaceServesWhoeverIsFirst) {
  Scheduler scheduler({8, 8, 1});
  StepPlan plan;
  scheduler.Plan({Sync(0, 5000, false, 1), Sync(1, 60, false, 2)}, 100, &plan);
  EXPECT_THAT(plan.sync, SizeIs(1));
}

TEST(SchedulerTest, APartDearerThanAStepRunsAllTheSame) {
  Scheduler scheduler({8, 8, 1});
  StepPlan plan;
  scheduler.Plan({Sync(0, 400, true), Decode(1)}, 1, &plan);
  EXPECT_EQ(UnitsOf(plan, 0), 1);
  scheduler.Plan({Fill(0, 4, 400, 400), Decode(1)}, 10, &plan);
  ASSERT_THAT(plan.fill, SizeIs(1));
  EXPECT_THAT(plan.fill[0].tokens, SizeIs(1));
  EXPECT_THAT(plan.decode, SizeIs(1));
}

TEST(SchedulerTest, AFillRunsAsManyRowsAsAreAffordable) {
  Scheduler scheduler({8, 8, 1, 4});
  StepPlan plan;
  const auto last = WindowRows::Logits::kSample;
  const std::vector<Runnable> list = {Fill(0, 30, 300, 300, last)};
  scheduler.Plan(list, 170, &plan);
  ASSERT_THAT(plan.fill, SizeIs(1));
  EXPECT_THAT(plan.fill[0].tokens, SizeIs(16)) << "a multiple of 4";
  EXPECT_EQ(plan.fill[0].logits, WindowRows::Logits::kNone);
  scheduler.Plan(list, 300, &plan);
  EXPECT_THAT(plan.fill[0].tokens, SizeIs(30));
  EXPECT_EQ(plan.fill[0].logits, last);
  scheduler.Plan(list, 1, &plan);
  EXPECT_THAT(plan.fill[0].tokens, SizeIs(4)) << "one piece";
}

TEST(SchedulerTest, AHigherPriorityGetsMostAndTheOldestItsShare) {
  Scheduler scheduler({8, 8, 4});
  StepPlan plan;
  std::vector<Runnable> list = {Sync(0, 9000, true, 1), Sync(1, 300, true, 2),
                                Sync(2, 5000, false, 3)};
  list[2].priority = 1;
  scheduler.Plan(list, 100, &plan);
  EXPECT_EQ(UnitsOf(plan, 0), 25);
  EXPECT_EQ(UnitsOf(plan, 2), 75);
  // The last workspace, too, is for who comes before those in flight.
  Scheduler two({8, 8, 3});
  list[2].priority = -1;
  list[2].cost_left = 10;
  two.Plan(list, 100, &plan);
  EXPECT_EQ(UnitsOf(plan, 2), 0);
}

TEST(SchedulerTest, AScoreFindsRoomForItsLogitsBesideAFullBatch) {
  Scheduler scheduler({4, 4, 1});
  StepPlan plan;
  scheduler.Plan({Decode(0, 1), Decode(1, 1), Decode(2, 2), Decode(3, 2),
                  Fill(4, 2, 20, 200, WindowRows::Logits::kAll)},
                 100, &plan);
  EXPECT_THAT(DecodeSlots(plan), ElementsAre(0, 1));
  EXPECT_THAT(plan.fill, SizeIs(1));
}

TEST(SchedulerTest, NothingToDoIsAnEmptyPlan) {
  Scheduler scheduler({4, 4, 1});
  StepPlan plan;
  scheduler.Plan({Decode(0)}, 100, &plan);
  scheduler.Plan({}, 100, &plan);
  EXPECT_TRUE(plan.empty());
}

// Random lists: bounds hold, no slot comes twice, work is conserved.
TEST(SchedulerTest, EveryPlanIsLegalAndWorkIsConserved) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 20000; ++round) {
    StepBounds bounds;
    bounds.max_decode_rows = 1 + static_cast<int32_t>(random() % 6);
    bounds.max_logit_rows = 5 + static_cast<int32_t>(random() % 4);
    bounds.max_syncs = 1 + static_cast<int32_t>(random() % 3);
    bounds.fill_granularity = 1 + static_cast<int32_t>(random() % 3);
    const int64_t budget = 1 + static_cast<int64_t>(random() % 200);
    std::vector<Runnable> list;
    int32_t in_flight = 0;
    const SlotId slots = static_cast<SlotId>(random() % 9);
    for (SlotId slot = 0; slot < slots; ++slot) {
      switch (random() % 3) {
        case 0:
          list.push_back(Decode(slot, random() % 5));
          break;
        case 1: {
          const int64_t units = 1 + static_cast<int64_t>(random() % 100);
          list.push_back(Fill(slot, 1 + random() % 4, units,
                              units * (1 + random() % 5),
                              static_cast<WindowRows::Logits>(random() % 3)));
          list.back().ready_step = random() % 5;
          break;
        }
        default: {
          const bool begun = in_flight < bounds.max_syncs && random() % 2 == 0;
          in_flight += begun;
          list.push_back(Sync(slot, 1 + static_cast<int64_t>(random() % 500),
                              begun, random() % 5));
        }
      }
    }
    Scheduler scheduler(bounds);
    StepPlan plan;
    scheduler.Plan(list, budget, &plan);
    ASSERT_EQ(plan.empty(), list.empty());
    ASSERT_LE(plan.decode.size(), static_cast<size_t>(bounds.max_decode_rows));
    std::vector<SlotId> seen = DecodeSlots(plan);
    size_t logit_rows = plan.decode.size();
    int64_t units = 0;
    for (const WindowRows& rows : plan.fill) {
      seen.push_back(rows.slot);
      const Runnable& fill = list[static_cast<size_t>(rows.slot)];
      const size_t all = fill.rows.tokens.size(), served = rows.tokens.size();
      ASSERT_GE(served, 1u);
      ASSERT_LE(served, all);
      units +=
          fill.cost * static_cast<int64_t>(served) / static_cast<int64_t>(all);
      if (served < all) {
        ASSERT_EQ(served % static_cast<size_t>(bounds.fill_granularity), 0u);
      }
      ASSERT_EQ(rows.logits,
                served < all && fill.rows.logits == WindowRows::Logits::kSample
                    ? WindowRows::Logits::kNone
                    : fill.rows.logits);
      if (rows.logits == WindowRows::Logits::kSample) ++logit_rows;
      if (rows.logits == WindowRows::Logits::kAll) {
        logit_rows += rows.tokens.size();
      }
    }
    ASSERT_LE(logit_rows, static_cast<size_t>(bounds.max_logit_rows));
    for (const SyncSlice& slice : plan.sync) {
      const Runnable& sync = list[static_cast<size_t>(slice.slot)];
      seen.push_back(slice.slot);
      units += slice.cost;
      in_flight += !sync.begun;
      ASSERT_GT(slice.cost, 0);
      ASSERT_LE(slice.cost, sync.cost_left);
    }
    ASSERT_LE(in_flight, bounds.max_syncs);
    std::sort(seen.begin(), seen.end());
    ASSERT_EQ(std::adjacent_find(seen.begin(), seen.end()), seen.end());
    if (plan.fill.size() + plan.sync.size() > 1) {
      ASSERT_LE(units, budget);
    }
    // A sync in flight leaves no units idle.
    int64_t served = 0, could = 0, dearest = 0;
    for (const Runnable& r : list) {
      if (r.work != Runnable::Work::kFill) continue;
      const auto rows = static_cast<int64_t>(r.rows.tokens.size());
      dearest = std::max(dearest, (r.cost + rows - 1) / rows);
    }
    for (const Runnable& r : list) {
      if (r.work != Runnable::Work::kSync || !r.begun) continue;
      served += UnitsOf(plan, r.slot);
      could += r.cost_left;
    }
    if (served < could) {
      // The largest row that did not fit, a granule of it.
      ASSERT_GE(units + budget / 8 + 1 + dearest, budget);
    }
  }
}

// A long sync beside an endless stream of short ones, played out.
TEST(SchedulerTest, NoneStarves) {
  Scheduler scheduler({4, 4, 2});
  std::vector<Runnable> list = {Sync(0, 10000, true, 0), Sync(1, 100, false, 0),
                                Fill(2, 4, 40, 4000)};
  StepPlan plan;
  int64_t fill_left = 4000;
  int64_t step = 0;
  while (list[0].cost_left > 0 || fill_left > 0) {
    ASSERT_LT(++step, 2000);
    scheduler.Plan(list, 100, &plan);
    for (const SyncSlice& slice : plan.sync) {
      Runnable& sync = list[static_cast<size_t>(slice.slot)];
      sync.begun = true;
      sync.cost_left -= slice.cost;
      if (sync.cost_left == 0 && slice.slot == 1) {
        sync = Sync(1, 100, false, step);
      }
    }
    if (!plan.fill.empty()) {
      fill_left -= 10 * static_cast<int64_t>(plan.fill[0].tokens.size());
      list[2].ready_step = step;
    }
    if (list[0].cost_left == 0 && list[0].slot == 0) {
      list[0] = Sync(0, 1, true, step);
      list[0].cost_left = 0;
      list[0] = Decode(0, step);
    }
  }
}

}  // namespace
}  // namespace tlin
