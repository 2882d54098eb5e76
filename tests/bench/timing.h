// Medians for the programs that print tables instead of Google Benchmark's
// lists.
#ifndef TLIN_TESTS_BENCH_TIMING_H_
#define TLIN_TESTS_BENCH_TIMING_H_

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

namespace tlin {

// REQUIRES: not empty.
inline double Median(std::vector<double> values) {
  const auto middle = values.begin() + values.size() / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

template <class Function>
double Seconds(const Function& run) {
  const auto begin = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
      .count();
}

// Median over as many runs as `budget` seconds hold, `least` to `most`.
template <class Function>
double MedianSeconds(int least, int most, double budget, const Function& run) {
  std::vector<double> seconds;
  double total = 0;
  while (static_cast<int>(seconds.size()) < most &&
         (static_cast<int>(seconds.size()) < least || total < budget)) {
    seconds.push_back(Seconds(run));
    total += seconds.back();
  }
  return Median(std::move(seconds));
}

}  // namespace tlin

#endif  // TLIN_TESTS_BENCH_TIMING_H_
