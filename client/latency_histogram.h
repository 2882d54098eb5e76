// Latencies in bounded memory, however many.
#ifndef TLIN_CLIENT_LATENCY_HISTOGRAM_H_
#define TLIN_CLIENT_LATENCY_HISTOGRAM_H_

#include <cstdint>
#include <vector>

#include "absl/time/time.h"

namespace tlin::client {

// Buckets of equal width within each power of two of nanoseconds: a percentile
// is at most 0.8 % off. Count, mean and maximum are exact. One thread at a
// time.
class LatencyHistogram {
 public:
  // Below zero counts as zero; above 100 days as 100 days.
  void Record(absl::Duration latency);

  int64_t count() const { return count_; }
  absl::Duration max() const { return absl::Nanoseconds(max_); }
  // Zero where nothing was recorded.
  absl::Duration Mean() const;
  // The smallest latency that at least `percent` of all do not exceed, within
  // its bucket's width and never above max(). Zero where nothing was recorded.
  // REQUIRES: 0 < percent <= 100.
  absl::Duration Percentile(double percent) const;

 private:
  std::vector<int64_t> buckets_;  // grown to the largest seen
  int64_t count_ = 0;
  int64_t max_ = 0;  // ns
  double sum_ = 0;   // ns
};

}  // namespace tlin::client

#endif  // TLIN_CLIENT_LATENCY_HISTOGRAM_H_
