// What a session's state costs to keep, move and fork, by context length, in
// one table from one run: the papers' 41M models in bf16.
//
//   sessions [--quick]
//
// Save and load are the engine thread's: a slot to host memory and back. Encode
// and decode are those of a snapshot, with its checksums, on other threads. The
// limit beside them is a copy of as many bytes on one core. A state's numbers
// were not computed (BenchModel); the sync, which is what a server does that
// keeps tokens only, is.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/check.h"
#include "engine/base/clock.h"
#include "engine/session/snapshot.h"
#include "engine/session_keeper.h"
#include "tests/bench/bench_model.h"
#include "tests/bench/processor.h"
#include "tests/bench/timing.h"
#include "tests/testing/paper_config.h"
#include "tests/testing/seeded_weights.h"
#include "tests/testing/silent_logger.h"

namespace tlin {
namespace {

constexpr DType kDType = DType::kBF16;
constexpr int64_t kForkedTokens = 50'000;
constexpr int kForks = 100;

struct Effort {
  int runs;
  int64_t longest;    // context
  int64_t most_work;  // tokens of a sync that is measured
};

// The middle of a window after `tokens` tokens, about.
int64_t MidWindow(const ModelConfig& config, int64_t tokens) {
  const int64_t window = config.generation_window;
  return tokens / window * window + window / 2;
}

double CopySeconds(int64_t bytes, int runs) {
  std::vector<char> from(static_cast<size_t>(bytes), 'x');
  std::vector<char> to(from.size(), 'y');
  return MedianSeconds(
      runs, runs, 0, [&] { std::memcpy(to.data(), from.data(), from.size()); });
}

std::string Milliseconds(double seconds) {
  return absl::StrFormat("%.2f ms", 1e3 * seconds);
}

void PrintRow(Architecture architecture, int64_t context,
              const Effort& effort) {
  const ModelConfig config = PaperConfig(architecture);
  const int64_t tokens = MidWindow(config, context);
  BenchModel bench(config, kDType, BenchThreads(), 2,
                   tokens + 2 * config.generation_window);
  Model* const model = bench.model();
  bench.Place(1, tokens);

  auto state = std::make_shared<SavedState>();
  state->extent = model->Extent(0);
  const int64_t bytes = model->StateBytes(state->extent).value();
  state->bytes.resize(static_cast<size_t>(bytes));
  const double save = MedianSeconds(effort.runs, effort.runs, 0, [&] {
    TLIN_CHECK(model->SaveState(0, absl::MakeSpan(state->bytes)).ok());
  });
  const double load = MedianSeconds(effort.runs, effort.runs, 0, [&] {
    model->Open(1, tokens);
    TLIN_CHECK(model->LoadState(1, state->extent, state->bytes).ok());
    model->Close(1);
  });

  Snapshot snapshot;
  snapshot.tokens = SeededTokens(1, tokens, config.vocab_size);
  snapshot.state = std::move(state);
  std::string encoded;
  const double encode = MedianSeconds(effort.runs, effort.runs, 0, [&] {
    encoded = EncodeSnapshot(snapshot, model->info());
  });
  const double decode = MedianSeconds(effort.runs, effort.runs, 0, [&] {
    TLIN_CHECK(DecodeSnapshot(encoded, "bench", *model).ok());
  });
  std::string sync = "not measured";
  if (tokens <= effort.most_work) {
    bench.Clear();
    sync = Milliseconds(Seconds(
        [&] { SequenceDriver(model, 0, tokens).Feed(snapshot.tokens); }));
  }
  absl::PrintF(
      "| %s | %d | %.1f MB | %.1f MB | %s | %s | %s | %s | %s | %s |\n",
      ArchitectureName(architecture), tokens, 1e-6 * bytes,
      1e-6 * static_cast<double>(encoded.size()), Milliseconds(save),
      Milliseconds(load), Milliseconds(encode), Milliseconds(decode),
      Milliseconds(CopySeconds(bytes, effort.runs)), sync);
}

// Forks of a session whose state is in host memory, beside one sync of it.
void PrintForks(const Effort& effort) {
  const ModelConfig config = PaperConfig(Architecture::kTConstFormer);
  const int64_t tokens =
      MidWindow(config, std::min(kForkedTokens, effort.most_work));
  BenchModel bench(config, kDType, BenchThreads(), 2,
                   tokens + 2 * config.generation_window);
  Model* const model = bench.model();
  bench.Place(1, tokens);
  auto state = std::make_shared<SavedState>();
  state->extent = model->Extent(0);
  state->bytes.resize(
      static_cast<size_t>(model->StateBytes(state->extent).value()));
  TLIN_CHECK(model->SaveState(0, absl::MakeSpan(state->bytes)).ok());
  bench.Clear();

  Snapshot snapshot;
  snapshot.tokens = SeededTokens(1, tokens, config.vocab_size);
  snapshot.state = std::move(state);
  const double sync =
      Seconds([&] { SequenceDriver(model, 0, tokens).Feed(snapshot.tokens); });
  MonotonicClock clock;
  SilentLogger logger;
  SessionKeeper keeper({}, model, &clock, &logger);
  TLIN_CHECK(keeper.Import("origin", snapshot).ok());
  const double forks = Seconds([&] {
    for (int i = 0; i < kForks; ++i) {
      TLIN_CHECK(keeper.Fork("origin", absl::StrCat("fork-", i)).ok());
    }
  });
  absl::PrintF(
      "\n%d forks of a session of %d tokens: %s; one sync of it: %s; "
      "ratio %.4f\n",
      kForks, tokens, Milliseconds(forks), Milliseconds(sync), forks / sync);
}

void PrintAll(const Effort& effort) {
  absl::PrintF("%s, %d threads, bf16\n\n", ProcessorName(), BenchThreads());
  absl::PrintF(
      "| model | tokens | state | snapshot | save | load | encode | decode | a "
      "copy of the state | the sync that it saves |\n");
  absl::PrintF("|---|---|---|---|---|---|---|---|---|---|\n");
  for (const Architecture architecture :
       {Architecture::kTConstFormer, Architecture::kTLinFormer}) {
    for (const int64_t context : {1'000, 10'000, 100'000, 1'000'000}) {
      // A tlinformer's history is 3.6 GB at a million tokens.
      if (context > effort.longest ||
          (architecture == Architecture::kTLinFormer && context > 100'000)) {
        continue;
      }
      PrintRow(architecture, context, effort);
    }
  }
  PrintForks(effort);
}

}  // namespace
}  // namespace tlin

int main(int argc, char** argv) {
  tlin::Effort effort = {7, 1'000'000, 1'100'000};
  if (argc == 2 && std::string(argv[1]) == "--quick") {
    effort = {1, 1'000, 1'000};
  } else if (argc > 1) {
    std::fprintf(stderr, "sessions: no such flag: %s\n", argv[1]);
    return 2;
  }
  tlin::PrintAll(effort);
  return 0;
}
