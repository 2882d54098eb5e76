// What the threads of a block do together over one row of logits: reductions,
// the selection of the likeliest, the walk in order of ids. Weights are counted
// in steps (kWeightSteps), so sums do not depend on the order of addition.
#ifndef TLIN_ENGINE_BACKEND_CUDA_SAMPLING_BLOCK_H_
#define TLIN_ENGINE_BACKEND_CUDA_SAMPLING_BLOCK_H_

#include <bit>
#include <cstdint>

#include "engine/sampling/sampling_math.h"
#include "gpu/device.h"

namespace tlin::cuda {

inline constexpr int kSampleThreads = 512;
inline constexpr int kSampleWarps = kSampleThreads / 32;
inline constexpr int kSampleBins = 2048;

using Steps = unsigned long long;  // what atomicAdd knows

struct SampleShared {
  Steps bins[kSampleBins];
  Steps warps[kSampleWarps];
  Steps found[2];
  Steps keys[kMaxLogprobs];
  int gathered;
};

// Floats in the order of their values; -0 is 0.
__device__ __forceinline__ uint32_t KeyOf(float logit) {
  const auto bits = std::bit_cast<uint32_t>(logit + 0.0f);
  return bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
}
__device__ __forceinline__ float LogitOf(uint32_t key) {
  return std::bit_cast<float>(key >> 31 != 0 ? key & 0x7fffffffu : ~key);
}
// The likelier is larger, of equals the lower id.
__device__ __forceinline__ Steps RankKey(float logit, int id) {
  return Steps{KeyOf(logit)} << 32 | (0xffffffffu - static_cast<uint32_t>(id));
}

// The likeliest tokens down to one of them.
struct Cutoff {
  uint32_t key = 0;
  int last_id = 0x7fffffff;  // of those with that very logit

  __device__ __forceinline__ bool Keeps(float logit, int id) const {
    const uint32_t k = KeyOf(logit);
    return k > key || (k == key && id <= last_id);
  }
};

// One row, one block of kSampleThreads. All of its threads call, and get the
// same.
class SampleBlock {
 public:
  __device__ SampleBlock(const float* logits, int vocab, SampleShared* shared)
      : logits_(logits), vocab_(vocab), shared_(*shared) {}

  __device__ float logit(int id) const { return logits_[id]; }

  // Of what each thread gives.
  template <class Combine>
  __device__ Steps Reduce(Steps value, const Combine& combine) {
    for (int distance = 16; distance > 0; distance /= 2) {
      value = combine(value, __shfl_xor_sync(~0u, value, distance));
    }
    if (threadIdx.x % 32 == 0) shared_.warps[threadIdx.x / 32] = value;
    __syncthreads();
    value = shared_.warps[0];
    for (int warp = 1; warp < kSampleWarps; ++warp) {
      value = combine(value, shared_.warps[warp]);
    }
    __syncthreads();
    return value;
  }

  // Sum of measure(logit, id) over the row.
  template <class Measure>
  __device__ Steps Sum(const Measure& measure) {
    Steps sum = 0;
    for (int i = threadIdx.x; i < vocab_; i += kSampleThreads) {
      sum += measure(logits_[i], i);
    }
    return Reduce(sum, [](Steps a, Steps b) { return a + b; });
  }

  // The largest RankKey, and how far below its logit the least finite one is.
  __device__ Steps FindBest() {
    Steps best = 0;
    Steps least = ~Steps{0};
    for (int i = threadIdx.x; i < vocab_; i += kSampleThreads) {
      best = max(best, RankKey(logits_[i], i));
      if (isfinite(logits_[i])) least = min(least, Steps{KeyOf(logits_[i])});
    }
    best = Reduce(best, [](Steps a, Steps b) { return max(a, b); });
    least = Reduce(least, [](Steps a, Steps b) { return min(a, b); });
    top_ = LogitOf(static_cast<uint32_t>(best >> 32));
    bin_scale_ = static_cast<float>(kSampleBins - 1) /
                 (top_ - LogitOf(static_cast<uint32_t>(least)));
    return best;
  }
  __device__ float top() const { return top_; }

  // The first id at which the sum of measure(logit, id) passes `target`.
  // REQUIRES: that of the row does.
  template <class Measure>
  __device__ int Walk(Steps target, const Measure& measure);

  // The fewest likeliest of what `within` keeps whose measure(logit) sums to
  // `target`; all of them where it does not. REQUIRES: FindBest; target > 0.
  template <class Measure>
  __device__ Cutoff Select(const Cutoff& within, Steps target,
                           const Measure& measure);

 private:
  // A bin for each of many ranges of logits, likelier ones first.
  __device__ int BinOf(float logit) const {
    const float bin = (top_ - logit) * bin_scale_;
    // Also where it is infinite or, in the end, no number.
    return bin < static_cast<float>(kSampleBins - 1) ? static_cast<int>(bin)
                                                     : kSampleBins - 1;
  }

  // Adds up value(logit, id) by bin_of(logit); bins below 0 are none. Finds the
  // bin in which the sum from the first one on, and of *above, reaches
  // `target`, and adds what is before it to *above. -1: in none.
  template <class Bin, class Value>
  __device__ int FindBin(int bins, Steps target, Steps* above,
                         const Bin& bin_of, const Value& value);

  const float* const logits_;
  const int vocab_;
  SampleShared& shared_;
  float top_ = 0;
  float bin_scale_ = 0;
};

template <class Measure>
__device__ int SampleBlock::Walk(Steps target, const Measure& measure) {
  const int warp = threadIdx.x / 32;
  const int lane = threadIdx.x % 32;
  // Each warp has neighbouring ids.
  const int share = (vocab_ + kSampleThreads - 1) / kSampleThreads * 32;
  const int begin = warp * share;
  const int end = min(vocab_, begin + share);
  Steps sum = 0;
  for (int i = begin + lane; i < end; i += 32) sum += measure(logits_[i], i);
  for (int distance = 16; distance > 0; distance /= 2) {
    sum += __shfl_xor_sync(~0u, sum, distance);
  }
  if (lane == 0) shared_.warps[warp] = sum;
  __syncthreads();
  Steps before = 0;
  int there = 0;
  while (there < kSampleWarps - 1 && before + shared_.warps[there] <= target) {
    before += shared_.warps[there++];
  }
  if (warp == there) {
    for (int first = begin; first < end; first += 32) {
      const int i = first + lane;
      Steps until = i < end ? measure(logits_[i], i) : 0;
      for (int distance = 1; distance < 32; distance *= 2) {
        const Steps less = __shfl_up_sync(~0u, until, distance);
        if (lane >= distance) until += less;
      }
      const unsigned passed = __ballot_sync(~0u, before + until > target);
      if (passed != 0) {
        if (lane == 0) {
          shared_.found[0] = static_cast<Steps>(first + __ffs(passed) - 1);
        }
        break;
      }
      before += __shfl_sync(~0u, until, 31);
    }
  }
  __syncthreads();
  return static_cast<int>(shared_.found[0]);
}

template <class Bin, class Value>
__device__ int SampleBlock::FindBin(int bins, Steps target, Steps* above,
                                    const Bin& bin_of, const Value& value) {
  for (int i = threadIdx.x; i < bins; i += kSampleThreads) shared_.bins[i] = 0;
  __syncthreads();
  for (int i = threadIdx.x; i < vocab_; i += kSampleThreads) {
    const int bin = bin_of(logits_[i], i);
    if (bin >= 0) atomicAdd(&shared_.bins[bin], value(logits_[i]));
  }
  __syncthreads();
  if (threadIdx.x < 32) {
    const int lane = threadIdx.x;
    const int share = bins / 32;
    Steps own = 0;
    for (int i = 0; i < share; ++i) own += shared_.bins[lane * share + i];
    Steps until = own;
    for (int distance = 1; distance < 32; distance *= 2) {
      const Steps less = __shfl_up_sync(~0u, until, distance);
      if (lane >= distance) until += less;
    }
    until += *above;
    const unsigned reached = __ballot_sync(~0u, until >= target);
    if (reached == 0 && lane == 0) shared_.found[0] = ~Steps{0};
    if (reached != 0 && lane == __ffs(reached) - 1) {
      Steps before = until - own;
      int bin = lane * share;
      while (before + shared_.bins[bin] < target) before += shared_.bins[bin++];
      shared_.found[0] = static_cast<Steps>(bin);
      shared_.found[1] = before;
    }
  }
  __syncthreads();
  if (shared_.found[0] == ~Steps{0}) return -1;
  *above = shared_.found[1];
  return static_cast<int>(shared_.found[0]);
}

template <class Measure>
__device__ Cutoff SampleBlock::Select(const Cutoff& within, Steps target,
                                      const Measure& measure) {
  Steps above = 0;
  const int range = FindBin(
      kSampleBins, target, &above,
      [&](float x, int i) { return within.Keeps(x, i) ? BinOf(x) : -1; },
      measure);
  if (range < 0) return within;
  // In that range, byte by byte of the logit. A likelier byte comes first.
  uint32_t key = 0;
  for (int shift = 24; shift >= 0; shift -= 8) {
    const uint32_t known = shift == 24 ? 0 : ~0u << (shift + 8);
    const int bin = FindBin(
        256, target, &above,
        [&](float x, int i) {
          const uint32_t k = KeyOf(x);
          return (k & known) == key && BinOf(x) == range && within.Keeps(x, i)
                     ? static_cast<int>(255 - (k >> shift & 255))
                     : -1;
        },
        measure);
    key |= static_cast<uint32_t>(255 - bin) << shift;
  }
  // Of equals, as many as it takes.
  const Steps each = measure(LogitOf(key));
  const Steps wanted = (target - above + each - 1) / each;
  const int last = Walk(wanted - 1, [&](float x, int i) {
    return Steps{KeyOf(x) == key && within.Keeps(x, i)};
  });
  return {key, last};
}

}  // namespace tlin::cuda

#endif  // TLIN_ENGINE_BACKEND_CUDA_SAMPLING_BLOCK_H_
