// The speed that this project promises of the papers' 41M tconstformer in bf16,
// beside what the machine allows, from one run:
//
//   targets [--quick]      quick: one round of each, to see that it runs
//
// Prints a table in Markdown. In each round each speed is measured right beside
// its limit (reading as many bytes as the weights have, oneDNN's best GEMM rate
// at 16 and at 256 rows), because the machine may be slower a moment later; the
// table has the medians of the rounds, and of their ratios.
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

// What one round measured, or the medians of some.
struct Round {
  double bytes_per_second;  // limits
  double peak_16;           // FLOP/s
  double peak_256;
  double batch_1;  // seconds a step
  double at_million;
  double batch_16;
  double gemm;    // FLOP/s of a layer's products at 256 rows
  double prompt;  // seconds to the logits after kPrompt tokens
  // Measured in limits.
  double of_read;
  double million_to_1k;
  double of_peak;
  double times_sync;
  double of_peak_16;
  double of_read_16;
};

double ReadSeconds(const Round& round) {
  return WeightBytes(PaperConfig(Architecture::kTConstFormer), kDType) /
         round.bytes_per_second;
}

double SyncSeconds(const Round& round) {
  return SyncFlops(PaperConfig(Architecture::kTConstFormer),
                   (kPrompt - 1) / 256 * 256) /
         round.peak_256;
}

double Step16Seconds(const Round& round) {
  const int64_t weights =
      PaperConfig(Architecture::kTConstFormer).ParameterCount();
  return 16 * 2.0 * static_cast<double>(weights) / round.peak_16;
}

// Weights and histories; windows are counted as if they were empty.
double Read16Seconds(const Round& round) {
  const ModelConfig config = PaperConfig(Architecture::kTConstFormer);
  const double keys =
      16.0 * (config.layers() - config.n_block) *
      KvBlockBytes(config.history_window, config.n_embd, kDType);
  return ReadSeconds(round) + keys / round.bytes_per_second;
}

std::vector<Round> Measure(const Effort& effort) {
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

  std::vector<Round> rounds;
  for (int i = 0; i < effort.rounds; ++i) {
    Round& round = rounds.emplace_back();
    round.bytes_per_second =
        ReadBytesPerSecond(WeightBytes(config, kDType), pool);
    round.batch_1 = StepSeconds(&model, 1, 1024, effort.steps);
    round.at_million = StepSeconds(&model, 1, kMillion, effort.steps);
    round.peak_16 = GemmPeak(kDType, 16);
    round.batch_16 = StepSeconds(&model, 16, 1024, effort.steps);
    model.Clear();
    round.peak_256 = GemmPeak(kDType, 256);
    round.gemm = layer_flops / MedianSeconds(3, effort.steps, 1.0, [&layer] {
                   for (const auto& product : layer) product->Run();
                 });
    round.prompt = Seconds(
        [&] { SequenceDriver(model.model(), 0, kPrompt + 256).Feed(prompt); });

    round.of_read = ReadSeconds(round) / round.batch_1;
    round.million_to_1k = round.at_million / round.batch_1;
    round.of_peak = round.gemm / round.peak_256;
    round.times_sync = round.prompt / SyncSeconds(round);
    round.of_peak_16 = Step16Seconds(round) / round.batch_16;
    round.of_read_16 = Read16Seconds(round) / round.batch_16;
  }
  return rounds;
}

Round Medians(const std::vector<Round>& rounds) {
  const auto median = [&rounds](double Round::*value) {
    std::vector<double> values;
    for (const Round& round : rounds) values.push_back(round.*value);
    return Median(std::move(values));
  };
  return {median(&Round::bytes_per_second),
          median(&Round::peak_16),
          median(&Round::peak_256),
          median(&Round::batch_1),
          median(&Round::at_million),
          median(&Round::batch_16),
          median(&Round::gemm),
          median(&Round::prompt),
          median(&Round::of_read),
          median(&Round::million_to_1k),
          median(&Round::of_peak),
          median(&Round::times_sync),
          median(&Round::of_peak_16),
          median(&Round::of_read_16)};
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

void PrintTable(const Round& round) {
  const ModelConfig config = PaperConfig(Architecture::kTConstFormer);
  absl::PrintF(
      "%s, %d threads: reads %.0f MB at %.1f GB/s; oneDNN's bf16 GEMM does "
      "%.0f GFLOP/s at 16 rows, %.0f at 256\n\n",
      ProcessorName(), BenchThreads(), 1e-6 * WeightBytes(config, kDType),
      1e-9 * round.bytes_per_second, 1e-9 * round.peak_16,
      1e-9 * round.peak_256);
  absl::PrintF("| target | measured | limit | ratio | wanted | met |\n");
  absl::PrintF("|---|---|---|---|---|---|\n");

  PrintRow(
      "one sequence: a step at 1k tokens",
      absl::StrFormat("%.2f ms, %.0f tok/s", 1e3 * round.batch_1,
                      1 / round.batch_1),
      absl::StrFormat("%.2f ms to read the weights", 1e3 * ReadSeconds(round)),
      round.of_read, "at least 0.60", round.of_read >= 0.6);

  PrintRow("a step at 1M tokens",
           absl::StrFormat("%.3f of a step at 1k", round.million_to_1k), "1",
           round.million_to_1k, "at most 1.05", round.million_to_1k <= 1.05);

  PrintRow("a sync's products",
           absl::StrFormat("%.0f GFLOP/s", 1e-9 * round.gemm),
           absl::StrFormat("%.0f GFLOP/s", 1e-9 * round.peak_256),
           round.of_peak, "at least 0.60", round.of_peak >= 0.6);

  PrintRow(
      "a prompt of 10,000 tokens, to the first token",
      absl::StrFormat("%.0f ms", 1e3 * round.prompt),
      absl::StrFormat("%.0f ms for the sync's FLOP", 1e3 * SyncSeconds(round)),
      round.times_sync, "at most 2", round.times_sync <= 2);

  const double step_16 = Step16Seconds(round);
  PrintRow("16 sequences together",
           absl::StrFormat("%.2f ms, %.0f tok/s", 1e3 * round.batch_16,
                           16 / round.batch_16),
           absl::StrFormat("%.2f ms, %.0f tok/s", 1e3 * step_16, 16 / step_16),
           round.of_peak_16, "at least 0.45", round.of_peak_16 >= 0.45);

  // Not a target: what keeps the last one from its GEMM peak.
  PrintRow("the same, beside what it has to read",
           absl::StrFormat("%.2f ms", 1e3 * round.batch_16),
           absl::StrFormat("%.2f ms for weights and histories",
                           1e3 * Read16Seconds(round)),
           round.of_read_16, "", true);
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
  tlin::PrintTable(tlin::Medians(tlin::Measure(effort)));
  return 0;
}
