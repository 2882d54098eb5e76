#include "engine/step_costs.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace tlin {
namespace {

// Variances of the prices' logarithms. A guess may be far off; what a step
// takes is uncertain by 5 %; a price that is in use drifts by 1 % a step.
constexpr double kGuess = 100;
constexpr double kNoise = 0.05 * 0.05;
constexpr double kDrift = 0.01 * 0.01;
constexpr double kSettled = 0.3 * 0.3;

}  // namespace

StepCosts::StepCosts(const StepPrices& first_guess) : prices_(first_guess) {
  for (int i = 0; i < kParts; ++i) covariance_[i][i] = kGuess;
}

std::array<double, StepCosts::kParts> StepCosts::SecondsOf(
    const StepWork& work) const {
  return {work.decode_rows > 0 ? prices_.decode_step : 0.0,
          prices_.decode_unit * static_cast<double>(work.decode_units),
          prices_.fill_unit * static_cast<double>(work.fill_units),
          prices_.sync.CostOf({work.sync.products, 0}),
          prices_.sync.CostOf({0, work.sync.attention})};
}

double StepCosts::Seconds(const StepWork& work) const {
  const auto parts = SecondsOf(work);
  return std::accumulate(parts.begin(), parts.end(), 0.0);
}

void StepCosts::Observe(const StepWork& work, absl::Duration took) {
  const auto parts = SecondsOf(work);
  const double expected = Seconds(work);
  const double seconds = absl::ToDoubleSeconds(took);
  if (!(expected > 0 && seconds > 0)) return;
  std::array<double, kParts> share;
  for (int i = 0; i < kParts; ++i) share[i] = parts[i] / expected;
  std::array<double, kParts> gain = {};
  double variance = 0;
  for (int i = 0; i < kParts; ++i) {
    if (share[i] > 0 && covariance_[i][i] < kSettled) {
      covariance_[i][i] += kDrift;
    }
    for (int j = 0; j < kParts; ++j) gain[i] += covariance_[i][j] * share[j];
    variance += share[i] * gain[i];
  }
  // The more a step surprises, the less it is believed: it was held up, or the
  // sum of shares is not yet what the step's logarithm follows.
  const double surprise = std::log(seconds / expected);
  variance += kNoise + surprise * surprise / 4;
  double* const prices[kParts] = {&prices_.decode_step, &prices_.decode_unit,
                                  &prices_.fill_unit, &prices_.sync.product,
                                  &prices_.sync.attention};
  for (int i = 0; i < kParts; ++i) {
    *prices[i] *= std::exp(gain[i] / variance * surprise);
    for (int j = 0; j < kParts; ++j) {
      covariance_[i][j] -= gain[i] * gain[j] / variance;
    }
  }
}

bool StepCosts::Settled(const StepWork& work) const {
  const auto parts = SecondsOf(work);
  for (int i = 0; i < kParts; ++i) {
    if (parts[i] > 0 && covariance_[i][i] > kSettled) return false;
  }
  return true;
}

}  // namespace tlin
