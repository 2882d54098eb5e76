#include "tests/bench/read_memory.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "engine/backend/cpu/simd_targets.h"
#include "engine/base/check.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tests/bench/read_memory.cc"
#include "hwy/foreach_target.h"
//
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tlin {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Eight sums: one would wait for its own addition.
uint64_t Sum(const uint64_t* at, int64_t count) {
  const hn::ScalableTag<uint64_t> d;
  constexpr int64_t kLanes = hn::MaxLanes(d);
  constexpr int kSums = 8;
  hn::Vec<decltype(d)> sums[kSums];
  for (auto& sum : sums) sum = hn::Zero(d);
  for (int64_t i = 0; i + kSums * kLanes <= count; i += kSums * kLanes) {
    for (int s = 0; s < kSums; ++s) {
      sums[s] = hn::Add(sums[s], hn::Load(d, at + i + s * kLanes));
    }
  }
  for (int s = 1; s < kSums; ++s) sums[0] = hn::Add(sums[0], sums[s]);
  return hn::GetLane(hn::SumOfLanes(d, sums[0]));
}

}  // namespace HWY_NAMESPACE
}  // namespace tlin
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tlin {

HWY_EXPORT(Sum);

AlignedBuffer WrittenMemory(int64_t bytes) {
  auto memory = AlignedBuffer::Allocate(bytes);
  TLIN_CHECK(memory.ok());
  std::memset(memory->data(), 0xFF, bytes);
  return *std::move(memory);
}

uint64_t ReadMemory(const AlignedBuffer& memory, WorkerPool& pool) {
  // A multiple of what a round of sums takes; the rest would not be seen.
  constexpr int64_t kPart = int64_t{256} << 10;
  const auto* words = reinterpret_cast<const uint64_t*>(memory.data());
  std::atomic<uint64_t> total{0};
  pool.ParallelFor((memory.size() + kPart - 1) / kPart, [&](int64_t part, int) {
    const int64_t bytes = std::min(kPart, memory.size() - part * kPart);
    total += HWY_DYNAMIC_DISPATCH(Sum)(words + part * (kPart / 8), bytes / 8);
  });
  return total;
}

}  // namespace tlin
#endif  // HWY_ONCE
