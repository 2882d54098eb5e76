// Prices of steps: found from their times, whatever the machine.
#include "engine/step_costs.h"

#include <cmath>
#include <random>

#include "gtest/gtest.h"

namespace tlin {
namespace {

// A machine with prices of its own, and steps as an engine makes them.
class Machine {
 public:
  explicit Machine(uint32_t seed) : random_(seed) {}

  StepPrices prices = {4e-3, 2e-6, 3e-6, {1e-6, 4e-6}};
  double noise = 0;    // of the logarithm
  double held_up = 0;  // how often a step takes ten times as long

  StepWork DrawWork() {
    StepWork work;
    if (In(0, 9) > 0) {
      work.decode_rows = static_cast<int32_t>(In(1, 16));
      work.decode_units = 80 * work.decode_rows;
    }
    if (In(0, 3) == 0) work.fill_units = In(100, 3000);
    if (In(0, 1) == 0 || work.decode_rows + work.fill_units == 0) {
      // Of tiles that are of one of two kinds.
      const int64_t units = In(100, 3000);
      work.sync = In(0, 1) == 0 ? SyncWork{units * 5 / 8, units * 3 / 8}
                                : SyncWork{units * 5 / 6, units / 6};
    }
    return work;
  }

  double SecondsOf(const StepWork& work) const {
    return StepCosts(prices).Seconds(work);
  }

  absl::Duration Run(const StepWork& work) {
    const double factor =
        std::exp(std::normal_distribution<>(0, 1)(random_) * noise);
    const bool late = std::uniform_real_distribution<>()(random_) < held_up;
    return absl::Seconds(SecondsOf(work) * factor * (late ? 10 : 1));
  }

  void Teach(StepCosts* costs, int steps) {
    for (int i = 0; i < steps; ++i) {
      const StepWork work = DrawWork();
      costs->Observe(work, Run(work));
    }
  }

  // The worst of many steps, as a factor of the right time.
  double WorstFactor(const StepCosts& costs) {
    double worst = 0;
    for (int i = 0; i < 300; ++i) {
      const StepWork work = DrawWork();
      worst = std::max(
          worst, std::abs(std::log(costs.Seconds(work) / SecondsOf(work))));
    }
    return std::exp(worst);
  }

  int64_t In(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random_);
  }

 private:
  std::mt19937 random_;
};

TEST(StepCostsTest, SomeStepsOfOneKindSettleItsPrice) {
  StepCosts costs({1, 1, 1, {1, 1}});
  for (int i = 0; i < 5; ++i) {
    costs.Observe({0, 0, 0, {200, 0}}, absl::Milliseconds(10));
  }
  EXPECT_NEAR(costs.prices().sync.product, 5e-5, 1e-6);
  EXPECT_EQ(costs.prices().fill_unit, 1);
  EXPECT_NEAR(costs.Seconds({0, 0, 0, {400, 0}}), 20e-3, 4e-4);
}

TEST(StepCostsTest, FindsTheMachinesPrices) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    Machine machine(seed);
    // From far off on either side.
    StepCosts costs(seed % 2 == 0 ? StepPrices()
                                  : StepPrices{1e-4, 1e-7, 1e-7, {1e-7, 1e-7}});
    machine.Teach(&costs, 600);
    EXPECT_LT(machine.WorstFactor(costs), 1.15) << seed;
    EXPECT_TRUE(costs.Settled({1, 80, 100, {100, 100}}));
  }
}

TEST(StepCostsTest, FollowsAMachineThatChanges) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    Machine machine(seed);
    StepCosts costs({});
    machine.Teach(&costs, 300);
    machine.prices = {8e-3, 6e-6, 6e-6, {3e-6, 12e-6}};
    machine.Teach(&costs, 300);
    EXPECT_LT(machine.WorstFactor(costs), 1.25) << seed;
  }
}

TEST(StepCostsTest, NoiseAndStepsThatWereHeldUpDoLittleHarm) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    Machine machine(seed);
    machine.noise = 0.1;
    machine.held_up = 0.02;
    StepCosts costs({});
    machine.Teach(&costs, 600);
    EXPECT_LT(machine.WorstFactor(costs), 1.6) << seed;
  }
}

TEST(StepCostsTest, StaysRightForMillionsOfStepsThatAreAllAlike) {
  Machine machine(1);
  machine.noise = 0.05;
  StepCosts costs({});
  const StepWork work = {8, 640, 0, {3000, 600}};
  for (int i = 0; i < 2'000'000; ++i) costs.Observe(work, machine.Run(work));
  EXPECT_NEAR(costs.Seconds(work) / machine.SecondsOf(work), 1, 0.1);
  machine.noise = 0;
  machine.Teach(&costs, 300);
  EXPECT_LT(machine.WorstFactor(costs), 1.25);
}

TEST(StepCostsTest, WhatSaysNothingChangesNothing) {
  StepCosts costs({});
  costs.Observe({1, 80, 0, {}}, absl::ZeroDuration());
  costs.Observe({1, 80, 0, {}}, -absl::Seconds(1));
  costs.Observe({}, absl::Seconds(1));
  EXPECT_EQ(costs.Seconds({1, 80, 100, {100, 100}}),
            StepCosts({}).Seconds({1, 80, 100, {100, 100}}));
  EXPECT_FALSE(costs.Settled({0, 0, 100, {}}));
  EXPECT_FALSE(costs.Settled({0, 0, 0, {100, 0}}));
}

}  // namespace
}  // namespace tlin
