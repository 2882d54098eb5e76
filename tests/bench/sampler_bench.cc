// One row of GPT-2's vocabulary to one token, by kind of sampling.
#include <cmath>
#include <random>
#include <vector>

#include "benchmark/benchmark.h"
#include "engine/sampling/sampler.h"
#include "engine/sampling/token_counts.h"

namespace tlin {
namespace {

constexpr int32_t kVocab = 50257;

// Shaped like a language model's: a few likely tokens and a long, thin tail.
std::vector<float> Logits() {
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal(0, 2.5f);
  std::vector<float> logits(kVocab);
  for (float& logit : logits) logit = normal(random);
  for (int i = 0; i < 20; ++i) logits[random() % kVocab] += 8;
  return logits;
}

void Run(benchmark::State& state, const Sampling& sampling) {
  const std::vector<float> logits = Logits();
  Sampler sampler(kVocab);
  TokenCounts counts;
  if (HasPenalties(sampling)) {
    std::vector<TokenId> prompt;
    for (TokenId id = 0; id < 1000; ++id) prompt.push_back(id * 50);
    counts.AddPrompt(prompt);
  }
  int64_t position = 0;
  SampledToken sampled;
  for (auto _ : state) {
    sampler.Sample(logits, {sampling, position++, counts.counts()}, &sampled);
    benchmark::DoNotOptimize(sampled);
  }
}

void BM_Plain(benchmark::State& state) { Run(state, Sampling()); }

void BM_Greedy(benchmark::State& state) {
  Sampling sampling;
  sampling.temperature = 0;
  Run(state, sampling);
}

void BM_TopK(benchmark::State& state) {
  Sampling sampling;
  sampling.top_k = static_cast<int32_t>(state.range(0));
  Run(state, sampling);
}

void BM_TopP(benchmark::State& state) {
  Sampling sampling;
  sampling.top_p = static_cast<float>(state.range(0)) / 1000;
  Run(state, sampling);
}

// The worst that top_p meets: nothing can be left out before the selection.
void BM_TopPHot(benchmark::State& state) {
  Sampling sampling;
  sampling.temperature = 100;
  sampling.top_p = 0.95f;
  Run(state, sampling);
}

void BM_MinP(benchmark::State& state) {
  Sampling sampling;
  sampling.min_p = 0.05f;
  Run(state, sampling);
}

void BM_Penalties(benchmark::State& state) {
  Sampling sampling;
  sampling.repetition_penalty = 1.1f;
  Run(state, sampling);
}

void BM_Logprobs(benchmark::State& state) {
  const std::vector<float> logits = Logits();
  Sampler sampler(kVocab);
  SampledToken scored;
  for (auto _ : state) {
    sampler.Score(logits, 7, static_cast<int32_t>(state.range(0)), &scored);
    benchmark::DoNotOptimize(scored);
  }
}

BENCHMARK(BM_Plain)->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_Greedy)->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_TopK)->Arg(40)->Arg(1024)->Arg(5000)->Unit(
    benchmark::kMicrosecond);
BENCHMARK(BM_TopP)->Arg(500)->Arg(950)->Arg(999)->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_TopPHot)->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_MinP)->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_Penalties)->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_Logprobs)->Arg(0)->Arg(5)->Arg(128)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace tlin
