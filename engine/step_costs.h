// What the parts of a step cost on this machine, fitted while it runs.
#ifndef TLIN_ENGINE_STEP_COSTS_H_
#define TLIN_ENGINE_STEP_COSTS_H_

#include <array>
#include <cstdint>

#include "absl/time/time.h"
#include "engine/step_plan.h"

namespace tlin {

// Work of one step in the model's units (MFLOP by closed form: TLinFormer §4,
// whose equations 4 and 5 say how a hit and a miss grow with the history).
struct StepWork {
  int32_t decode_rows = 0;
  int64_t decode_units = 0;
  int64_t fill_units = 0;
  SyncWork sync;
};

// Seconds. A step that decodes reads all weights, whatever its rows are.
struct StepPrices {
  double decode_step = 1e-3;
  double decode_unit = 1e-4;
  double fill_unit = 1e-4;
  SyncPrices sync = {1e-4, 1e-4};
};

// The step's time as a sum of prices times work, by an extended Kalman filter
// over the prices' logarithms: some steps of one kind settle its price, steps
// of many kinds tell their prices apart, a machine that changes is followed
// within some tens of steps, and a step that was held up by something else does
// little harm. Prices stay positive. Engine thread only.
class StepCosts {
 public:
  explicit StepCosts(const StepPrices& first_guess);

  double Seconds(const StepWork& work) const;
  // A time that is not positive says nothing.
  void Observe(const StepWork& work, absl::Duration took);

  const StepPrices& prices() const { return prices_; }
  // The prices that make up this work are measured, not guessed.
  bool Settled(const StepWork& work) const;

 private:
  static constexpr int kParts = 5;
  // In the order of StepPrices.
  std::array<double, kParts> SecondsOf(const StepWork& work) const;

  StepPrices prices_;
  // Of the prices' logarithms.
  std::array<std::array<double, kParts>, kParts> covariance_ = {};
};

}  // namespace tlin

#endif  // TLIN_ENGINE_STEP_COSTS_H_
