// Steps of the 41M shapes: a decode step by batch and context length, a sync by
// history token, a window fill. Weights are random: values do not change the
// time.
//
// Counters: tokens_per_second; weight_GBps, the bytes of the weights read in a
// step over its time, to hold against the machine's bandwidth; GFLOPs by closed
// form, to hold against its GEMM peak.
#include <benchmark/benchmark.h>

#include <memory>
#include <vector>

#include "engine/model/cost_model.h"
#include "tests/testing/model_driver.h"
#include "tests/testing/seeded_weights.h"

namespace tlin {
namespace {

ModelConfig PaperConfig(Architecture architecture) {
  ModelConfig config;
  config.architecture = architecture;
  config.vocab_size = 50257;
  config.n_embd = 432;
  config.n_head = 12;
  config.n_block = 2;
  config.block_depth = 4;
  config.history_window = 256;
  config.generation_window = 256;
  return config;
}

// One model for each dtype, made when first asked for.
Model* SharedModel(DType dtype) {
  static std::unique_ptr<Model> models[2];
  std::unique_ptr<Model>& model = models[dtype == DType::kBF16 ? 1 : 0];
  if (model == nullptr) {
    ModelOptions options;
    options.slots = 64;
    options.max_context_tokens = 1 << 20;
    model = MakeSeededModel(PaperConfig(Architecture::kTConstFormer), 1,
                            options, dtype);
  }
  return model.get();
}

// Arguments: bf16, batch, tokens of context.
void BM_DecodeStep(benchmark::State& state) {
  const DType dtype = state.range(0) != 0 ? DType::kBF16 : DType::kF32;
  const auto batch = static_cast<int32_t>(state.range(1));
  const ModelConfig config = PaperConfig(Architecture::kTConstFormer);
  Model* const model = SharedModel(dtype);
  const std::vector<TokenId> tokens =
      SeededTokens(1, state.range(2) / 256 * 256 + 1, config.vocab_size);
  const std::vector<TokenId> next = SeededTokens(2, 256, config.vocab_size);
  std::vector<std::unique_ptr<SequenceDriver>> sequences;
  for (SlotId slot = 0; slot < batch; ++slot) {
    sequences.push_back(
        std::make_unique<SequenceDriver>(model, slot, state.range(2) + 512));
    sequences.back()->Feed(tokens);
  }
  int64_t window = 0;
  int64_t steps = 0;
  for (auto _ : state) {
    if (++window == 250) {  // never full: a hit, not a sync
      state.PauseTiming();
      for (SlotId slot = 0; slot < batch; ++slot) {
        sequences[slot].reset();
        sequences[slot] =
            std::make_unique<SequenceDriver>(model, slot, state.range(2) + 512);
        sequences[slot]->Feed(tokens);
      }
      window = 1;
      state.ResumeTiming();
    }
    StepPlan plan;
    for (SlotId slot = 0; slot < batch; ++slot) {
      plan.decode.push_back({slot, absl::MakeConstSpan(&next[window], 1),
                             WindowRows::Logits::kLast});
    }
    LogitRows logits;
    if (!model->Run(plan, &logits).ok()) state.SkipWithError("step failed");
    ++steps;
  }
  const auto rate = benchmark::Counter::kIsRate;
  state.counters["tokens_per_second"] =
      benchmark::Counter(static_cast<double>(steps * batch), rate);
  state.counters["weight_GBps"] = benchmark::Counter(
      static_cast<double>(steps * WeightBytes(config, dtype)) / 1e9, rate);
  state.counters["GFLOPs"] =
      benchmark::Counter(static_cast<double>(steps * batch) *
                             RowFlops(config, state.range(2)) / 1e9,
                         rate);
}
BENCHMARK(BM_DecodeStep)
    ->ArgNames({"bf16", "batch", "context"})
    ->ArgsProduct({{0, 1}, {1, 4, 16, 64}, {1024}})
    ->Args({1, 1, 100000})
    ->MinTime(0.5)
    ->Unit(benchmark::kMillisecond);

// Arguments: bf16, history tokens.
void BM_Sync(benchmark::State& state) {
  const DType dtype = state.range(0) != 0 ? DType::kBF16 : DType::kF32;
  const ModelConfig config = PaperConfig(Architecture::kTConstFormer);
  Model* const model = SharedModel(dtype);
  const int64_t history = state.range(1) / 256 * 256;
  const std::vector<TokenId> tokens =
      SeededTokens(1, history, config.vocab_size);
  int64_t syncs = 0;
  for (auto _ : state) {
    model->Open(0, history + 256);
    model->BeginSync(0, tokens);
    StepPlan plan;
    plan.sync.push_back({0, model->SyncUnitsLeft(0)});
    LogitRows logits;
    if (!model->Run(plan, &logits).ok()) state.SkipWithError("sync failed");
    model->Close(0);
    ++syncs;
  }
  const auto rate = benchmark::Counter::kIsRate;
  state.counters["history_tokens_per_second"] =
      benchmark::Counter(static_cast<double>(syncs * history), rate);
  state.counters["GFLOPs"] = benchmark::Counter(
      static_cast<double>(syncs) * SyncFlops(config, history) / 1e9, rate);
}
BENCHMARK(BM_Sync)
    ->ArgNames({"bf16", "history"})
    ->ArgsProduct({{0, 1}, {1024, 10240}})
    ->Unit(benchmark::kMillisecond);

// Arguments: bf16, rows.
void BM_WindowFill(benchmark::State& state) {
  const DType dtype = state.range(0) != 0 ? DType::kBF16 : DType::kF32;
  const ModelConfig config = PaperConfig(Architecture::kTConstFormer);
  Model* const model = SharedModel(dtype);
  const std::vector<TokenId> tokens =
      SeededTokens(1, state.range(1), config.vocab_size);
  int64_t fills = 0;
  for (auto _ : state) {
    SequenceDriver sequence(model, 0, 256);
    benchmark::DoNotOptimize(sequence.Feed(tokens));
    ++fills;
  }
  state.counters["tokens_per_second"] = benchmark::Counter(
      static_cast<double>(fills * state.range(1)), benchmark::Counter::kIsRate);
}
BENCHMARK(BM_WindowFill)
    ->ArgNames({"bf16", "rows"})
    ->ArgsProduct({{0, 1}, {16, 256}})
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace tlin
