// A token from a row of logits. One thread block a row: the row (4 V bytes)
// comes from memory once and then, mostly, from the cache:
//
//   passes over the row: 1; +1 with penalties or bans; +2 to draw; +6 for top_k
//   and +7 for top_p; +8 for log-probabilities
//
// Compiled without contraction (engine/sampling/sampling_math.h).
#include <limits>

#include "engine/backend/cuda/sampling_block.h"
#include "engine/backend/cuda/sampling_ops.h"
#include "engine/sampling/random.h"

namespace tlin::cuda {
namespace {

// Puts other logits in the place of listed ones, and keeps those in the list.
template <class Change>
__device__ void Adjust(float* logits, TokenCount* list, int size,
                       const Change& change) {
  for (int i = threadIdx.x; i < size; i += kSampleThreads) {
    float& logit = logits[list[i].token];
    const float before = logit;
    logit = change(before, list[i].times);
    list[i].times = std::bit_cast<int32_t>(before);
  }
  __syncthreads();
}

__device__ void Restore(float* logits, const TokenCount* list, int size) {
  for (int i = threadIdx.x; i < size; i += kSampleThreads) {
    logits[list[i].token] = std::bit_cast<float>(list[i].times);
  }
  __syncthreads();
}

__device__ int IdOf(Steps rank_key) {
  return static_cast<int>(0xffffffffu - static_cast<uint32_t>(rank_key));
}

__device__ int Choose(const Sampling& sampling, int64_t position, Steps best,
                      SampleBlock* block) {
  if (sampling.temperature < kGreedyTemperature) return IdOf(best);
  const float scale = 1.0f / sampling.temperature;
  const float top = block->top();
  const auto weight = [top, scale](float x) {
    return SampleWeight(x, top, scale);
  };
  const auto steps = [weight](float x) {
    return static_cast<Steps>(weight(x) * static_cast<float>(kWeightSteps));
  };
  Cutoff cutoff;
  if (sampling.top_k > 0) {
    cutoff = block->Select(cutoff, static_cast<Steps>(sampling.top_k),
                           [](float) { return Steps{1}; });
  }
  if (sampling.top_p < 1.0f) {
    const Steps all = block->Sum([&](float x, int i) {
      return cutoff.Keeps(x, i) ? steps(x) : Steps{0};
    });
    const double mass = ceil(sampling.top_p * static_cast<double>(all));
    cutoff =
        block->Select(cutoff, max(static_cast<Steps>(mass), Steps{1}), steps);
  }
  const float least = sampling.min_p;
  const auto kept = [&](float x, int i) {
    return cutoff.Keeps(x, i) && weight(x) >= least ? steps(x) : Steps{0};
  };
  const Steps total = block->Sum(kept);
  const double target =
      UniformAt(sampling.seed, position) * static_cast<double>(total);
  // It may have been rounded to the total.
  return block->Walk(min(static_cast<Steps>(target), total - 1), kept);
}

// REQUIRES: all logits are finite and as the model made them.
__device__ void AddLogprobs(int token, int candidates, int vocab,
                            SampleShared* shared, SampleBlock* block,
                            SampledToken* out) {
  block->FindBest();
  const float top = block->top();
  const Steps sum = block->Sum([top](float x, int) {
    return static_cast<Steps>(SampleWeight(x, top, 1.0f) *
                              static_cast<float>(kWeightSteps));
  });
  const double log_sum = top + log(static_cast<double>(sum) / kWeightSteps);
  const Steps own = RankKey(block->logit(token), token);
  const Steps likelier =
      block->Sum([own](float x, int i) { return Steps{RankKey(x, i) > own}; });
  const Cutoff cutoff = block->Select(Cutoff(), static_cast<Steps>(candidates),
                                      [](float) { return Steps{1}; });
  if (threadIdx.x == 0) shared->gathered = 0;
  __syncthreads();
  for (int i = threadIdx.x; i < vocab; i += kSampleThreads) {
    const float x = block->logit(i);
    if (!cutoff.Keeps(x, i)) continue;
    shared->keys[atomicAdd(&shared->gathered, 1)] = RankKey(x, i);
  }
  __syncthreads();
  const int found = shared->gathered;
  for (int i = threadIdx.x; i < found; i += kSampleThreads) {
    const Steps key = shared->keys[i];
    int place = 0;
    for (int j = 0; j < found; ++j) place += shared->keys[j] > key ? 1 : 0;
    const float x = LogitOf(static_cast<uint32_t>(key >> 32));
    out->top[place] = {IdOf(key), static_cast<float>(x - log_sum)};
  }
  if (threadIdx.x != 0) return;
  out->logprob = static_cast<float>(block->logit(token) - log_sum);
  out->rank = static_cast<int32_t>(likelier) + 1;
  out->candidates = found;
}

__global__ void __launch_bounds__(kSampleThreads, 1)
    Sample(float* all_logits, int vocab, const DeviceSample* samples,
           SampledToken* tokens) {
  const DeviceSample& sample = samples[blockIdx.x];
  if (sample.active == 0) return;
  auto* const shared = gpu::DynamicShared<SampleShared>();
  float* const logits = all_logits + int64_t{blockIdx.x} * vocab;
  SampledToken* const out = tokens + blockIdx.x;
  SampleBlock block(logits, vocab, shared);
  if (threadIdx.x == 0) {
    out->problem = SampledToken::Problem::kNone;
    out->rank = 0;
    out->candidates = 0;
  }
  int bad = 0;
  for (int i = threadIdx.x; i < vocab; i += kSampleThreads) {
    bad |= isfinite(logits[i]) ? 0 : 1;
  }
  if (__syncthreads_or(bad) != 0) {
    if (threadIdx.x == 0) out->problem = SampledToken::Problem::kNotFinite;
    return;
  }
  Adjust(logits, sample.counts, sample.count_size,
         [&sample](float logit, int32_t times) {
           return Penalized(sample.sampling, times, logit);
         });
  Adjust(logits, sample.banned, sample.banned_size, [](float, int32_t) {
    return -std::numeric_limits<float>::infinity();
  });
  const Steps best = block.FindBest();
  if (!isfinite(block.top())) {
    if (threadIdx.x == 0) out->problem = SampledToken::Problem::kNoneLeft;
    return;
  }
  const int token = Choose(sample.sampling, sample.position, best, &block);
  if (threadIdx.x == 0) out->token = token;
  if (sample.logprobs == 0) return;
  __syncthreads();
  Restore(logits, sample.banned, sample.banned_size);
  Restore(logits, sample.counts, sample.count_size);
  AddLogprobs(token, sample.logprobs, vocab, shared, &block, out);
}

}  // namespace

cudaError_t LaunchSample(float* logits, int vocab, const DeviceSample* samples,
                         int rows, SampledToken* tokens, cudaStream_t stream) {
  return gpu::Launch(Sample, rows, kSampleThreads, sizeof(SampleShared), stream,
                     logits, vocab, samples, tokens);
}

}  // namespace tlin::cuda
