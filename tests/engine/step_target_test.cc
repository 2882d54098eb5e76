// A machine whose steps take time: each lasts about as long as it is to, none
// starves, and no time is left unused while there is work.
#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/harness.h"

namespace tlin {
namespace {

using ::testing::IsEmpty;

constexpr absl::Duration kTarget = absl::Milliseconds(20);

PuppetOptions Wide() {
  PuppetOptions options;
  options.slots = 8;
  options.max_decode_rows = 8;
  options.max_fill_rows = 64;
  options.max_logit_rows = 16;
  options.max_context_tokens = 1000000;
  options.generation_window = 64;
  options.tile_units = 40;
  return options;
}

EngineOptions Targeted() {
  EngineOptions options;
  options.target_step = kTarget;
  return options;
}

int64_t UnitsOf(const SyncSlice& slice, const StepPlan& plan) {
  return std::llround(static_cast<double>(slice.cost) /
                      plan.sync_prices.product);
}

// The harness's clock moves in each run by what the plan costs.
class TimedHarness : public Harness {
 public:
  explicit TimedHarness(const StepPrices& prices,
                        const PuppetOptions& puppet = Wide(),
                        const EngineOptions& options = Targeted())
      : Harness(puppet, options), prices_(prices) {
    model.before_run = [this](const StepPlan& plan) {
      StepWork work;
      work.decode_rows = static_cast<int32_t>(plan.decode.size());
      work.decode_units = 10 * work.decode_rows;
      for (const WindowRows& rows : plan.fill) {
        work.fill_units += 10 * static_cast<int64_t>(rows.tokens.size());
      }
      for (const SyncSlice& slice : plan.sync) {
        work.sync.products +=
            std::min(std::max<int64_t>(UnitsOf(slice, plan), 40),
                     model.SyncUnitsLeft(slice.slot));
      }
      last = absl::Seconds(StepCosts(prices_).Seconds(work));
      bulk = work.fill_units + work.sync.total() > 0;
      clock.Advance(last);
      return absl::OkStatus();
    };
  }

  absl::Duration last;  // step
  bool bulk = false;

 private:
  const StepPrices prices_;
};

TEST(StepTargetTest, StepsBesideALongSyncLastAsLongAsTheyShould) {
  for (const StepPrices& prices :
       {StepPrices{4e-3, 1e-5, 2e-5, {2e-5, 2e-5}},
        StepPrices{1e-4, 1e-6, 5e-7, {1e-6, 1e-6}},
        StepPrices{6e-3, 5e-5, 1e-4, {1e-4, 1e-4}}}) {
    TimedHarness harness(prices);
    for (uint64_t i = 0; i < 7; ++i) {
      harness.Submit(Harness::MakeRequest(1, 20000, i));
    }
    auto reader = harness.Submit(Harness::MakeRequest(400001, 1, 9));
    int steps = 0, right = 0, long_steps = 0;
    while (!reader->ended() && steps < 3000) {
      harness.Step();
      if (!harness.bulk || ++steps <= 50) continue;
      // Steps that were all alike do not tell prices apart: the first other one
      // does.
      EXPECT_LT(harness.last, 2 * kTarget) << steps;
      long_steps += harness.last > 1.5 * kTarget;
      right += harness.last > 0.7 * kTarget && harness.last < 1.3 * kTarget;
    }
    ASSERT_GT(steps, 100);
    EXPECT_LE(long_steps, 2);
    EXPECT_GT(right, 9 * (steps - 50) / 10);
    EXPECT_THAT(harness.model.faults, IsEmpty());
  }
}

TEST(StepTargetTest, WhereDecodingTakesAllOfItPromptsGetOn) {
  TimedHarness harness({25e-3, 1e-5, 1e-5, {1e-5, 1e-5}});
  for (uint64_t i = 0; i < 7; ++i) {
    harness.Submit(Harness::MakeRequest(1, 20000, i));
  }
  // 20,000 units, 5 ms of each step by 10 us.
  auto reader = harness.Submit(Harness::MakeRequest(2001, 1, 9));
  int steps = 0;
  while (!reader->ended()) {
    harness.Step();
    ASSERT_LT(++steps, 300);
  }
}

TEST(StepTargetTest, DeadlinesThatCannotBeMetAreRefusedAtOnce) {
  EngineOptions options = Targeted();
  options.prefix_cache_bytes = 1 << 20;
  TimedHarness harness({1e-3, 1e-5, 1e-5, {1e-5, 1e-5}}, Wide(), options);
  // 2,000 history tokens by 10 units of 10 us are 0.2 s.
  const auto submit = [&](uint64_t salt, absl::Duration time) {
    Request request = Harness::MakeRequest(2001, 2, salt);
    request.deadline = harness.clock.Now() + time;
    return harness.Submit(std::move(request));
  };
  // Nothing is known yet: it is tried.
  const auto tried = submit(1, absl::Milliseconds(50));
  ASSERT_TRUE(harness.RunUntilIdle());
  EXPECT_TRUE(tried->started());
  harness.Submit(Harness::MakeRequest(50, 70));
  harness.Submit(Harness::MakeRequest(3001, 2, 5));
  ASSERT_TRUE(harness.RunUntilIdle());

  const auto hopeless = submit(2, absl::Milliseconds(50));
  const int64_t runs = harness.model.runs;
  harness.Step();
  EXPECT_TRUE(absl::IsDeadlineExceeded(hopeless->status()))
      << hopeless->status();
  EXPECT_THAT(std::string(hopeless->status().message()),
              ::testing::HasSubstr("reading 2001 tokens takes"));
  EXPECT_EQ(harness.model.runs, runs);
  const auto in_time = submit(3, absl::Milliseconds(400));
  ASSERT_TRUE(harness.RunUntilIdle());
  EXPECT_EQ(in_time->token_ids().size(), 2u);
  // Its state is there by now.
  const auto again = submit(3, absl::Milliseconds(50));
  ASSERT_TRUE(harness.RunUntilIdle());
  EXPECT_EQ(again->token_ids().size(), 2u);
}

// Arrivals of all kinds on machines of all kinds.
TEST(StepTargetTest, NoneStarvesAndNoTimeIsLeftUnused) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    std::mt19937_64 random(seed);
    const auto in = [&random](int64_t low, int64_t high) {
      return std::uniform_int_distribution<int64_t>(low, high)(random);
    };
    const double speed = static_cast<double>(in(1, 30)) * 1e-6;
    TimedHarness harness({static_cast<double>(in(1, 8)) * 1e-3,
                          speed,
                          speed * static_cast<double>(in(1, 3)),
                          {speed * static_cast<double>(in(1, 3)), speed}});
    std::vector<std::shared_ptr<RecordingSink>> sinks;
    int short_steps = 0, busy_steps = 0;
    for (int step = 0; step < 1500; ++step) {
      if (in(0, 9) == 0 && sinks.size() < 60) {
        const int64_t kind = in(0, 9);
        Request request = Harness::MakeRequest(kind == 0  ? in(5000, 40000)
                                               : kind < 4 ? in(200, 2000)
                                                          : in(1, 60),
                                               static_cast<int32_t>(in(1, 80)),
                                               static_cast<uint64_t>(step));
        request.priority = static_cast<int32_t>(in(-1, 1));
        sinks.push_back(harness.Submit(std::move(request)));
        ASSERT_NE(sinks.back(), nullptr);
      }
      harness.Step();
      if (step < 100) continue;
      ASSERT_LT(harness.last, 1.6 * kTarget) << "seed " << seed;
      // Where work is left after this step, and it was no row that decodes.
      if (harness.model.syncs_in_flight() > 0 && harness.loop.busy()) {
        ++busy_steps;
        short_steps += harness.last < 0.6 * kTarget;
      }
    }
    ASSERT_TRUE(harness.RunUntilIdle(200000)) << "seed " << seed;
    for (const auto& sink : sinks) {
      EXPECT_TRUE(sink->finished().has_value()) << sink->status();
    }
    EXPECT_LE(short_steps, busy_steps / 10) << "seed " << seed;
    EXPECT_THAT(harness.model.faults, IsEmpty());
  }
}

}  // namespace
}  // namespace tlin
