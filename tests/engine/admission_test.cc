// Who gets a slot, in which order; pages of histories that grow.
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/harness.h"

namespace tlin {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// One slot, taken; then one request for each of `priorities`, `apart` after
// each other. Returns the order in which they got the slot.
std::vector<std::string> OrderOf(const std::vector<int32_t>& priorities,
                                 absl::Duration apart = absl::ZeroDuration()) {
  PuppetOptions options;
  options.slots = 1;
  Harness harness(options);
  harness.Submit(Harness::MakeRequest(1, 20));
  harness.Step();
  for (size_t i = 0; i < priorities.size(); ++i) {
    Request request = Harness::MakeRequest(1, 2, i);
    request.id = std::string(1, static_cast<char>('A' + i));
    request.priority = priorities[i];
    EXPECT_NE(harness.Submit(request), nullptr);
    harness.clock.Advance(apart);
  }
  EXPECT_TRUE(harness.RunUntilIdle());
  std::vector<std::string> order = harness.listener.ended_ids();
  order.erase(order.begin());
  return order;
}

// Who waits for an idle daemon after a start must not take one for idle that
// has not yet told of the request.
TEST(AdmissionTest, WhoHearsOfAStartIsAmongWhatRuns) {
  Harness harness;
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  std::vector<int64_t> running;
  std::vector<int64_t> slots;
  for (int i = 0; i < 2; ++i) {
    sinks.push_back(harness.Submit(Harness::MakeRequest(1, 2)));
    sinks.back()->on_start = [&] {
      running.push_back(harness.listener.totals().state.running);
      slots.push_back(harness.listener.totals().state.slots_used);
    };
  }
  EXPECT_TRUE(harness.RunUntilIdle());
  EXPECT_THAT(running, ElementsAre(2, 2));
  EXPECT_THAT(slots, ElementsAre(2, 2));
  EXPECT_EQ(harness.listener.totals().state.running, 0);
}

TEST(PriorityTest, HigherGoesSoonerAndEqualsInTheOrderOfArrival) {
  EXPECT_THAT(OrderOf({0, 0, 0, 0}), ElementsAre("A", "B", "C", "D"));
  EXPECT_THAT(OrderOf({0, 1, -1, 1, 0, 2}),
              ElementsAre("F", "B", "D", "A", "E", "C"));
  EXPECT_THAT(OrderOf({INT32_MIN, 0, INT32_MAX}), ElementsAre("C", "B", "A"));
}

TEST(PriorityTest, WaitingIsWorthALevelSoThatNoneStarves) {
  EXPECT_THAT(OrderOf({0, 1}, kPriorityLevel - absl::Milliseconds(1)),
              ElementsAre("B", "A"));
  EXPECT_THAT(OrderOf({0, 1}, kPriorityLevel + absl::Milliseconds(1)),
              ElementsAre("A", "B"));
}

// Slots for two; `crowd` requests of one client, then some of another one. In
// the order of their ends.
std::vector<std::string> OrderOfClients(int crowd, int others,
                                        absl::Duration later) {
  PuppetOptions options;
  options.slots = 2;
  Harness harness(options);
  const auto submit = [&](const std::string& client, int count) {
    for (int i = 0; i < count; ++i) {
      Request request = Harness::MakeRequest(1, 20);
      request.client = client;
      request.id = absl::StrCat(client, i);
      EXPECT_NE(harness.Submit(request), nullptr);
    }
  };
  submit("crowd", crowd);
  harness.Step();
  harness.clock.Advance(later);
  submit("a", others);
  EXPECT_TRUE(harness.RunUntilIdle());
  return harness.listener.ended_ids();
}

TEST(ClientsTest, WhoHoldsFewerSlotsGoesSooner) {
  // The first two of the crowd run already; then each client has one slot.
  EXPECT_THAT(OrderOfClients(6, 2, absl::Seconds(1)),
              ElementsAre("crowd0", "crowd1", "a0", "crowd2", "a1", "crowd3",
                          "crowd4", "crowd5"));
}

TEST(ClientsTest, LongWaitingIsWorthASlot) {
  EXPECT_THAT(OrderOfClients(4, 1, 3 * kHeldSlot),
              ElementsAre("crowd0", "crowd1", "crowd2", "crowd3", "a0"));
}

TEST(ClientsTest, PriorityGoesBeforeASlotThatIsHeld) {
  PuppetOptions options;
  options.slots = 2;
  Harness harness(options);
  const auto submit = [&](const std::string& client, int32_t priority,
                          const std::string& id) {
    Request request = Harness::MakeRequest(1, id[0] == '0' ? 20 : 40);
    request.client = client;
    request.priority = priority;
    request.id = id;
    harness.Submit(request);
  };
  submit("a", 0, "0");
  submit("a", 0, "1");
  harness.Step();
  submit("b", 0, "b");
  submit("a", 2, "2");
  submit("a", 0, "3");
  ASSERT_TRUE(harness.RunUntilIdle());
  EXPECT_THAT(harness.listener.ended_ids(),
              ElementsAre("0", "1", "2", "b", "3"));
}

PuppetOptions Paged() {
  PuppetOptions options;
  options.slots = 8;
  options.max_decode_rows = 8;
  options.history_tokens = 100;
  return options;
}

TEST(PagesTest, AdmissionCountsWhatASequenceMayNeed) {
  Harness harness(Paged());
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  for (uint64_t i = 0; i < 5; ++i) {
    sinks.push_back(harness.Submit(Harness::MakeRequest(10, 20, i)));
  }
  harness.Step();
  EXPECT_EQ(harness.model.open_slots(), 3) << "slots are free, pages are not";
  EXPECT_EQ(harness.model.memory().history_used, 90);
  EXPECT_EQ(harness.listener.totals().state.waiting, 2);
  EXPECT_EQ(harness.listener.totals().state.history_bytes_used, 90);
  ASSERT_TRUE(harness.RunUntilIdle());
  for (const auto& sink : sinks) EXPECT_EQ(sink->token_ids().size(), 20u);
  EXPECT_EQ(harness.model.memory().history_used, 0);
  EXPECT_THAT(harness.model.faults, IsEmpty());
}

TEST(PagesTest, ALargeRequestLetsSmallOnesPassButNotForEver) {
  Harness harness(Paged());
  harness.Submit(Harness::MakeRequest(10, 10));
  harness.Step();
  auto large = harness.Submit(Harness::MakeRequest(60, 40, 7));
  std::vector<std::shared_ptr<RecordingSink>> small;
  // Small ones arrive faster than they leave.
  int64_t passed = 0;
  for (uint64_t step = 0; !large->started(); ++step) {
    ASSERT_LT(step, 1000u) << "starved";
    small.push_back(harness.Submit(Harness::MakeRequest(2, 8, step)));
    ASSERT_NE(small.back(), nullptr) << harness.refusal;
    harness.Step();
    passed = 0;
    for (const auto& sink : small) passed += sink->started();
  }
  EXPECT_EQ(passed, kMaxOvertakes);
  ASSERT_TRUE(harness.RunUntilIdle());
  EXPECT_EQ(large->token_ids().size(), 40u);
  for (const auto& sink : small) EXPECT_EQ(sink->token_ids().size(), 8u);
  EXPECT_THAT(harness.model.faults, IsEmpty());
}

TEST(PagesTest, ALargeRequestThatLeavesTheQueueBlocksNobody) {
  Harness harness(Paged());
  harness.Submit(Harness::MakeRequest(10, 80));
  harness.Step();
  Request large = Harness::MakeRequest(60, 40);
  large.id = "large";
  harness.Submit(large);
  std::vector<std::shared_ptr<RecordingSink>> small;
  for (uint64_t i = 0; i < kMaxOvertakes + 3; ++i) {
    small.push_back(harness.Submit(Harness::MakeRequest(2, 1, i)));
  }
  for (int i = 0; i < 60; ++i) harness.Step();
  EXPECT_FALSE(small.back()->started());
  harness.inbox.Cancel("large");
  for (int i = 0; i < 10; ++i) harness.Step();
  EXPECT_TRUE(small.back()->ended());
}

TEST(SlotPoolTest, CountsWhatIsOutAndItsHighWater) {
  SlotPool pool(2);
  SlotLease first = pool.Acquire();
  {
    SlotLease second = pool.Acquire();
    EXPECT_NE(first.id(), second.id());
    EXPECT_FALSE(pool.Acquire().held());
    EXPECT_EQ(pool.free(), 0);
  }
  EXPECT_EQ(pool.used(), 1);
  SlotLease moved = std::move(first);
  EXPECT_FALSE(first.held());
  EXPECT_EQ(pool.used(), 1);
  moved = pool.Acquire();
  EXPECT_EQ(pool.used(), 1);
  moved.Release();
  moved.Release();
  EXPECT_EQ(pool.free(), 2);
  EXPECT_EQ(pool.high_water(), 2);
}

TEST(SlotPoolDeathTest, DiesOfALeaseThatNeverCameBack) {
  EXPECT_DEATH(
      {
        auto pool = std::make_unique<SlotPool>(1);
        SlotLease* const leaked = new SlotLease(pool->Acquire());
        (void)leaked;
        pool.reset();
      },
      "used\\(\\) == 0");
}

}  // namespace
}  // namespace tlin
