// The speed that this project promises of the papers' 41M tconstformer in bf16,
// beside what the machine allows, from one run:
//
//   targets [--quick]      quick: one round of each, to see that it runs
//
// Prints a table in Markdown. Limits are measured first: reading as many bytes
// as the weights have, and oneDNN's best GEMM rate at 16 and at 256 rows.
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "engine/model/cost_model.h"
#include "tests/bench/bench_model.h"
#include "tests/bench/gemm_shapes.h"
#include "tests/bench/machine_limits.h"
#include "tests/bench/own_gemm.h"
#include "tests/bench/processor.h"
#include "tests/bench/timing.h"
#include "tests/testing/model_driver.h"
#include "tests/testing/paper_config.h"
#include "tests/testing/seeded_weights.h"

namespace tlin {
namespace {

constexpr DType kDType = DType::kBF16;
constexpr int64_t kMillion = 1 << 20;
constexpr int64_t kPrompt = 10'000;

struct Effort {
  int rounds;
  int steps;  // of a round, within one window
};

// Median step of each round: `batch` sequences at `tokens` tokens.
double StepSeconds(BenchModel* model, int32_t batch, int64_t tokens,
                   int steps) {
  model->Place(batch, tokens / 256 * 256 + 1);
  model->Step();  // not timed: the first touch of the state
  std::vector<double> seconds;
  for (int i = 0; i < steps; ++i) {
    seconds.push_back(Seconds([model] { model->Step(); }));
  }
  return Median(std::move(seconds));
}

struct Measured {
  double batch_1;        // seconds a step
  double million_to_1k;  // ratio of steps
  double batch_16;       // seconds a step
  double gemm;           // FLOP/s of a layer's products at 256 rows
  double prompt;         // seconds to the logits after kPrompt tokens
};

// Rounds take turns, so that a slower moment of the machine meets all alike.
Measured Measure(const Effort& effort) {
  const ModelConfig config = PaperConfig(Architecture::kTConstFormer);
  BenchModel model(config, kDType, BenchThreads(), 16, kMillion + 512);
  WorkerPool pool(BenchThreads());
  std::vector<std::unique_ptr<OwnGemm>> layer;
  double layer_flops = 0;
  for (const GemmShape& shape : kPaperGemms) {
    if (shape.out == config.vocab_size) continue;
    layer.push_back(std::make_unique<OwnGemm>(kDType, shape, 256, &pool));
    layer_flops += GemmFlops(shape, 256);
  }
  const std::vector<TokenId> prompt =
      SeededTokens(3, kPrompt, config.vocab_size);

  std::vector<double> batch_1, million_to_1k, batch_16, gemm, prompts;
  for (int round = 0; round < effort.rounds; ++round) {
    const double at_1k = StepSeconds(&model, 1, 1024, effort.steps);
    const double at_million = StepSeconds(&model, 1, kMillion, effort.steps);
    batch_1.push_back(at_1k);
    million_to_1k.push_back(at_million / at_1k);
    batch_16.push_back(StepSeconds(&model, 16, 1024, effort.steps));
    model.Clear();
    gemm.push_back(layer_flops / MedianSeconds(3, effort.steps, 1.0, [&layer] {
                     for (const auto& product : layer) product->Run();
                   }));
    prompts.push_back(Seconds(
        [&] { SequenceDriver(model.model(), 0, kPrompt + 256).Feed(prompt); }));
  }
  return {Median(batch_1), Median(million_to_1k), Median(batch_16),
          Median(gemm), Median(prompts)};
}

void PrintRow(const std::string& target, const std::string& measured,
              const std::string& limit, double ratio, const std::string& wanted,
              bool met) {
  absl::PrintF("| %s | %s | %s | %.2f | %s | %s |\n", target, measured, limit,
               ratio, wanted,
               wanted.empty() ? ""
               : met          ? "yes"
                              : "NO");
}

void PrintTable(const MachineLimits& limits, const Measured& measured) {
  const ModelConfig config = PaperConfig(Architecture::kTConstFormer);
  absl::PrintF(
      "%s, %d threads: reads %.0f MB at %.1f GB/s; oneDNN's bf16 GEMM does "
      "%.0f GFLOP/s at 16 rows, %.0f at 256\n\n",
      ProcessorName(), BenchThreads(), 1e-6 * WeightBytes(config, kDType),
      1e-9 * limits.bytes_per_second, 1e-9 * limits.peak_16,
      1e-9 * limits.peak_256);
  absl::PrintF("| target | measured | limit | ratio | wanted | met |\n");
  absl::PrintF("|---|---|---|---|---|---|\n");

  const double read = WeightBytes(config, kDType) / limits.bytes_per_second;
  const double of_read = read / measured.batch_1;
  PrintRow("one sequence: a step at 1k tokens",
           absl::StrFormat("%.2f ms, %.0f tok/s", 1e3 * measured.batch_1,
                           1 / measured.batch_1),
           absl::StrFormat("%.2f ms to read the weights", 1e3 * read), of_read,
           "at least 0.60", of_read >= 0.6);

  PrintRow("a step at 1M tokens",
           absl::StrFormat("%.3f of a step at 1k", measured.million_to_1k), "1",
           measured.million_to_1k, "at most 1.05",
           measured.million_to_1k <= 1.05);

  const double of_peak = measured.gemm / limits.peak_256;
  PrintRow("a sync's products",
           absl::StrFormat("%.0f GFLOP/s", 1e-9 * measured.gemm),
           absl::StrFormat("%.0f GFLOP/s", 1e-9 * limits.peak_256), of_peak,
           "at least 0.60", of_peak >= 0.6);

  const double sync =
      SyncFlops(config, (kPrompt - 1) / 256 * 256) / limits.peak_256;
  const double times = measured.prompt / sync;
  PrintRow("a prompt of 10,000 tokens, to the first token",
           absl::StrFormat("%.0f ms", 1e3 * measured.prompt),
           absl::StrFormat("%.0f ms for the sync's FLOP", 1e3 * sync), times,
           "at most 2", times <= 2);

  const double step_16 =
      16 * 2.0 * static_cast<double>(config.ParameterCount()) / limits.peak_16;
  const double of_step = step_16 / measured.batch_16;
  PrintRow("16 sequences together",
           absl::StrFormat("%.2f ms, %.0f tok/s", 1e3 * measured.batch_16,
                           16 / measured.batch_16),
           absl::StrFormat("%.2f ms, %.0f tok/s", 1e3 * step_16, 16 / step_16),
           of_step, "at least 0.45", of_step >= 0.45);

  // Not a target: what keeps the last one from its GEMM peak. Windows are
  // counted as if they were empty.
  const double keys =
      16.0 * (config.layers() - config.n_block) *
      KvBlockBytes(config.history_window, config.n_embd, kDType);
  const double read_16 = read + keys / limits.bytes_per_second;
  PrintRow("the same, beside what it has to read",
           absl::StrFormat("%.2f ms", 1e3 * measured.batch_16),
           absl::StrFormat("%.2f ms for weights and histories", 1e3 * read_16),
           read_16 / measured.batch_16, "", true);
}

}  // namespace
}  // namespace tlin

int main(int argc, char** argv) {
  tlin::Effort effort = {7, 200};
  if (argc == 2 && std::string(argv[1]) == "--quick") {
    effort = {1, 3};
  } else if (argc > 1) {
    std::fprintf(stderr, "targets: no such flag: %s\n", argv[1]);
    return 2;
  }
  const tlin::MachineLimits limits = tlin::LimitsOf(tlin::kDType);
  tlin::PrintTable(limits, tlin::Measure(effort));
  return 0;
}
