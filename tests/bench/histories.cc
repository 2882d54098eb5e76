// What a history costs, by context length, in one table a model from one run:
// the papers' 41M widths in bf16, with the first block's history stored and
// derived from a vocabulary table.
//
//   histories [--quick]
//
// With one block a tlinformer's sync is the compress attention of the window's
// last keys and nothing that grows: what the queries had met before is carried.
// The token that follows attends to the whole history, as every token of a
// tlinformer does; a prompt is read once. A tconstformer's sync reads its
// history every time. The numbers of the histories were not computed
// (BenchModel), but for the prompt's.
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "engine/base/check.h"
#include "engine/model/cost_model.h"
#include "tests/bench/bench_model.h"
#include "tests/bench/processor.h"
#include "tests/bench/timing.h"
#include "tests/testing/model_driver.h"
#include "tests/testing/paper_config.h"
#include "tests/testing/seeded_weights.h"

namespace tlin {
namespace {

constexpr DType kDType = DType::kBF16;

void RunSync(Model* model, absl::Span<const TokenId> history) {
  model->BeginSync(0, history);
  StepPlan plan;
  plan.sync.push_back({0, int64_t{1} << 60});
  StepOutput output;
  TLIN_CHECK(model->Run(plan, &output).ok());
  TLIN_CHECK(model->SyncUnitsLeft(0) == 0);
}

// The token before has read the whole history: at a thousand tokens, too, the
// caches have nothing of the weights then.
void EmptyCaches() {
  static std::vector<char> memory(size_t{256} << 20);
  for (size_t i = 0; i < memory.size(); i += 64) ++memory[i];
}

// A model with one sequence of so many tokens, whose window is full again and
// again.
class FullWindow {
 public:
  FullWindow(const ModelConfig& config, int64_t context)
      : tokens_(context / config.generation_window * config.generation_window),
        ids_(SeededTokens(1, tokens_, config.vocab_size)),
        bench_(config, kDType, BenchThreads(), 1,
               tokens_ + 2 * config.generation_window) {}

  int64_t tokens() const { return tokens_; }
  BenchModel& bench() { return bench_; }
  double EndSeconds() {
    bench_.Place(1, tokens_);
    EmptyCaches();
    return Seconds([this] { RunSync(bench_.model(), ids_); });
  }
  // Of a token after it.
  double StepSeconds() {
    bench_.Step();
    return Seconds([this] { bench_.Step(); });
  }
  double PromptSeconds() {
    bench_.Clear();
    return Seconds(
        [this] { SequenceDriver(bench_.model(), 0, tokens_).Feed(ids_); });
  }

 private:
  const int64_t tokens_;
  const std::vector<TokenId> ids_;
  BenchModel bench_;
};

void PrintRow(const ModelConfig& config, int64_t context, int runs) {
  FullWindow sequence(config, context);
  const int64_t tokens = sequence.tokens();
  std::vector<double> ends, steps;
  for (int run = 0; run < runs; ++run) {
    ends.push_back(sequence.EndSeconds());
    steps.push_back(sequence.StepSeconds());
  }
  const double prompt = sequence.PromptSeconds();
  const double history_bytes =
      static_cast<double>(HistoryPages(config, tokens)) *
      static_cast<double>(HistoryPageBytes(config, kDType));
  absl::PrintF(
      "| %d | %.1f MB | %.1f MB | %.2f ms | %.2f ms | %.3f s |\n", tokens,
      1e-6 * static_cast<double>(SlotBytes(config, kDType, tokens)),
      1e-6 * history_bytes, 1e3 * Median(ends), 1e3 * Median(steps), prompt);
}

// By turns, so that both meet the machine as it is: the median of the ratios.
double LongOverShort(const ModelConfig& config, int64_t longer,
                     int64_t shorter) {
  FullWindow one(config, longer), other(config, shorter);
  std::vector<double> ratios;
  for (int run = 0; run < 51; ++run) {
    const double end = one.EndSeconds();
    ratios.push_back(end / other.EndSeconds());
  }
  return Median(ratios);
}

// A row for each context length.
void PrintTable(const ModelConfig& config, bool quick) {
  absl::PrintF(
      "\n%s, blocks: %d; the first block's history %s\n\n"
      "| tokens | slot | history | a window's end | a token | the prompt |\n"
      "|---|---|---|---|---|---|\n",
      ArchitectureName(config.architecture), config.n_block,
      config.derived_history
          ? absl::StrFormat(
                "derived, by a table of %.1f MB",
                1e-6 * static_cast<double>(VocabularyTableBytes(config)))
          : "stored or computed");
  // A sync that reads its history takes a while.
  const bool carried = config.architecture == Architecture::kTLinFormer;
  for (const int64_t context : {1'024, 10'240, 102'400, 1'024'000}) {
    if (quick && context > 1'024) break;
    PrintRow(config, context,
             quick                          ? 1
             : carried || context <= 10'240 ? 25
             : context <= 102'400           ? 3
                                            : 1);
  }
  if (!carried || quick) return;
  absl::PrintF(
      "\na window's end after 1,024,000 tokens over one after 1,024: %.3f\n",
      LongOverShort(config, 1'024'000, 1'024));
}

}  // namespace
}  // namespace tlin

int main(int argc, char** argv) {
  const bool quick = argc == 2 && std::string(argv[1]) == "--quick";
  if (argc > 1 && !quick) {
    std::fprintf(stderr, "histories: no such flag: %s\n", argv[1]);
    return 2;
  }
  absl::PrintF("%s, %d threads, bf16\n", tlin::ProcessorName(),
               tlin::BenchThreads());
  struct Shape {
    tlin::Architecture architecture;
    int32_t blocks;
  };
  for (const auto [architecture, blocks] :
       {Shape{tlin::Architecture::kTLinFormer, 1},
        Shape{tlin::Architecture::kTConstFormer, 1},
        Shape{tlin::Architecture::kTConstFormer, 2}}) {
    tlin::ModelConfig config = tlin::PaperConfig(architecture);
    config.n_block = blocks;
    for (const bool derived : {false, true}) {
      config.derived_history = derived;
      tlin::PrintTable(config, quick);
    }
  }
  return 0;
}
