#include "client/latency_histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace tlin::client {
namespace {

// A power of two holds that many buckets, so a bucket is at most 1/128 wide.
constexpr int kBucketBits = 7;
constexpr uint64_t kLinear = uint64_t{1} << (kBucketBits + 1);

size_t BucketOf(uint64_t ns) {
  if (ns < kLinear) return ns;
  const int shift = std::bit_width(ns) - (kBucketBits + 1);
  return (static_cast<size_t>(shift) << kBucketBits) + (ns >> shift);
}

// The largest value of a bucket.
uint64_t UpperEnd(size_t bucket) {
  if (bucket < kLinear) return bucket;
  const int shift = static_cast<int>(bucket >> kBucketBits) - 1;
  const uint64_t top = bucket - (static_cast<uint64_t>(shift) << kBucketBits);
  return ((top + 1) << shift) - 1;
}

}  // namespace

void LatencyHistogram::Record(absl::Duration latency) {
  const int64_t ns = absl::ToInt64Nanoseconds(
      std::clamp(latency, absl::ZeroDuration(), absl::Hours(24 * 100)));
  const size_t bucket = BucketOf(static_cast<uint64_t>(ns));
  if (bucket >= buckets_.size()) buckets_.resize(bucket + 1);
  ++buckets_[bucket];
  ++count_;
  max_ = std::max(max_, ns);
  sum_ += static_cast<double>(ns);
}

absl::Duration LatencyHistogram::Mean() const {
  if (count_ == 0) return absl::ZeroDuration();
  return absl::Nanoseconds(sum_ / static_cast<double>(count_));
}

absl::Duration LatencyHistogram::Percentile(double percent) const {
  const int64_t wanted = static_cast<int64_t>(
      std::ceil(percent * static_cast<double>(count_) / 100.0));
  int64_t seen = 0;
  for (size_t bucket = 0; bucket < buckets_.size(); ++bucket) {
    seen += buckets_[bucket];
    if (seen >= wanted && seen > 0) {
      return absl::Nanoseconds(
          std::min(max_, static_cast<int64_t>(UpperEnd(bucket))));
    }
  }
  return absl::ZeroDuration();
}

}  // namespace tlin::client
