// Steps of the papers' 41M tconstformer: a decode step by batch and context, a
// sync by history, a window fill. Weights are random, and contexts are there
// without having been computed (BenchModel): values do not change the
// time.
//
// Counters: tokens_per_second; GBps, the bytes of weights and keys that a step
// has to read, over its time; GFLOPs by closed form; of_limit, the time that
// this machine needs at least (reading at its bandwidth or oneDNN's GEMM peak,
// whichever takes longer) over the time that it took.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "engine/model/cost_model.h"
#include "tests/bench/bench_model.h"
#include "tests/bench/machine_limits.h"
#include "tests/bench/processor.h"
#include "tests/testing/paper_config.h"
#include "tests/testing/seeded_weights.h"

namespace tlin {
namespace {

constexpr int32_t kSlots = 64;
constexpr int64_t kMaxTokens = (1 << 20) + 512;

const ModelConfig& Config() {
  static const ModelConfig kConfig = PaperConfig(Architecture::kTConstFormer);
  return kConfig;
}

// One model for each dtype, made when first asked for.
BenchModel& SharedModel(DType dtype) {
  static std::unique_ptr<BenchModel> models[2];
  std::unique_ptr<BenchModel>& model = models[dtype == DType::kBF16 ? 1 : 0];
  if (model == nullptr) {
    model = std::make_unique<BenchModel>(Config(), dtype, BenchThreads(),
                                         kSlots, kMaxTokens);
  }
  return *model;
}

DType DTypeOf(const benchmark::State& state) {
  return state.range(0) != 0 ? DType::kBF16 : DType::kF32;
}

// What one iteration has to do.
struct Work {
  double tokens = 0;
  double bytes = 0;
  double flops = 0;
};

// `rows` rows of `sequences` sequences together; on average a row sees `window`
// tokens of its window and a full compressed history, and a sequence's last row
// goes through the output projection.
Work RowsWork(DType dtype, double rows, double sequences, double window) {
  const ModelConfig& config = Config();
  const double width = config.n_embd;
  const double keys =
      config.layers() * window + (config.layers() - config.n_block) *
                                     static_cast<double>(config.history_window);
  const double output = 2.0 * width * config.vocab_size;
  Work work;
  work.tokens = rows;
  work.bytes =
      static_cast<double>(WeightBytes(config, dtype)) +
      sequences * keys * 2 * width * static_cast<double>(DTypeBytes(dtype));
  work.flops = rows * (RowFlops(config, 0) - output + keys * 4 * width) +
               sequences * output;
  return work;
}

void SetCounters(benchmark::State& state, const Work& work, double rows) {
  const MachineLimits& limits = LimitsOf(DTypeOf(state));
  const double peak = rows <= 16 ? limits.peak_16 : limits.peak_256;
  const double least =
      std::max(work.bytes / limits.bytes_per_second, work.flops / peak);
  const auto runs = static_cast<double>(state.iterations());
  const auto rate = [runs](double value) {
    return benchmark::Counter(value * runs, benchmark::Counter::kIsRate);
  };
  state.counters["tokens_per_second"] = rate(work.tokens);
  state.counters["GBps"] = rate(work.bytes * 1e-9);
  state.counters["GFLOPs"] = rate(work.flops * 1e-9);
  state.counters["of_limit"] = rate(least);
}

// Arguments: bf16, batch, tokens of context.
void BM_DecodeStep(benchmark::State& state) {
  LimitsOf(DTypeOf(state));  // before the model's threads are there
  BenchModel& model = SharedModel(DTypeOf(state));
  const auto batch = static_cast<int32_t>(state.range(1));
  const int64_t history = state.range(2) / 256 * 256;
  int64_t window = 256;
  for (auto _ : state) {
    if (window == 256) {  // full: the next token would be a sync, not a hit
      state.PauseTiming();
      model.Place(batch, history + 1);
      model.Step();
      window = 2;
      state.ResumeTiming();
    }
    model.Step();
    ++window;
  }
  model.Clear();
  SetCounters(state, RowsWork(DTypeOf(state), batch, batch, 128), batch);
}
BENCHMARK(BM_DecodeStep)
    ->ArgNames({"bf16", "batch", "context"})
    ->ArgsProduct({{0, 1}, {1, 4, 16, 64}, {1 << 10, 100'000, 1 << 20}})
    ->MinTime(0.5)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

// Arguments: bf16, history tokens. tokens_per_second: of history.
void BM_Sync(benchmark::State& state) {
  LimitsOf(DTypeOf(state));
  Model* const model = SharedModel(DTypeOf(state)).model();
  const int64_t history = state.range(1) / 256 * 256;
  const std::vector<TokenId> tokens =
      SeededTokens(1, history, Config().vocab_size);
  for (auto _ : state) {
    model->Open(0, history + 256);
    model->BeginSync(0, tokens);
    StepPlan plan;
    plan.sync.push_back({0, model->SyncUnitsLeft(0)});
    StepOutput output;
    if (!model->Run(plan, &output).ok()) state.SkipWithError("sync failed");
    model->Close(0);
  }
  Work work;
  work.tokens = static_cast<double>(history);
  work.flops = SyncFlops(Config(), history);
  SetCounters(state, work, 256);
}
BENCHMARK(BM_Sync)
    ->ArgNames({"bf16", "history"})
    ->ArgsProduct({{0, 1}, {1 << 10, 10 << 10, 100 << 10}})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

// Arguments: bf16, rows of a window over a history of 1024 tokens.
void BM_WindowFill(benchmark::State& state) {
  LimitsOf(DTypeOf(state));
  BenchModel& model = SharedModel(DTypeOf(state));
  const int64_t rows = state.range(1);
  const std::vector<TokenId> tokens =
      SeededTokens(2, rows, Config().vocab_size);
  for (auto _ : state) {
    state.PauseTiming();
    model.Place(1, 1024 + 256 - rows);
    StepPlan plan;
    plan.fill.push_back({0, tokens, WindowRows::Logits::kLast});
    StepOutput output;
    state.ResumeTiming();
    if (!model.model()->Run(plan, &output).ok()) {
      state.SkipWithError("fill failed");
    }
  }
  model.Clear();
  SetCounters(state,
              RowsWork(DTypeOf(state), static_cast<double>(rows), 1,
                       256 - static_cast<double>(rows) / 2),
              static_cast<double>(rows));
}
BENCHMARK(BM_WindowFill)
    ->ArgNames({"bf16", "rows"})
    ->ArgsProduct({{0, 1}, {16, 255}})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace tlin

BENCHMARK_MAIN();
