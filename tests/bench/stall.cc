// Whether syncs and prompts stall those who decode: the papers' 41M
// tconstformer in bf16 behind the engine, in one run.
//
//   stall [--quick] [--target_step_ms=20]
//
// Eight sequences decode: alone; beside one prompt of 100,000 tokens after the
// other (each is one sync); beside a storm of prompts of 5,000 to 50,000. The
// gaps between tokens are the engine's own, from one event to the next. The
// limit beside them is the time of a step of the eight. Throughput is held
// against the same work one after the other: the tokens of the eight alone, and
// the same prompts alone.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "engine/base/check.h"
#include "engine/base/clock.h"
#include "engine/engine.h"
#include "tests/bench/processor.h"
#include "tests/testing/model_driver.h"
#include "tests/testing/paper_config.h"
#include "tests/testing/recording_listener.h"
#include "tests/testing/seeded_weights.h"
#include "tests/testing/silent_logger.h"

namespace tlin {
namespace {

constexpr int kDecoding = 8;
constexpr int kStormReaders = 4;
constexpr int64_t kVocabulary = 50257;

struct Effort {
  int32_t tokens;  // that each of the eight makes in a phase
  int64_t prompt;  // tokens of the ninth
  absl::Duration target;
};

// Keeps the gaps between its tokens.
class GapSink final : public TokenSink {
 public:
  void OnStarted(const Started&) override {}
  void OnChunk(const Chunk&) override {
    const absl::Time now = absl::Now();
    if (last_ != absl::InfinitePast()) {
      gaps_.push_back(absl::ToDoubleMilliseconds(now - last_));
    }
    last_ = now;
  }
  void OnFinished(const Finished&) override { done_.Notify(); }
  void OnError(const absl::Status& status) override { TLIN_CHECK(status.ok()); }

  // Once it has ended. Milliseconds.
  const std::vector<double>& WaitForGaps() {
    done_.WaitForNotification();
    return gaps_;
  }

 private:
  // Engine thread, until the end.
  absl::Time last_ = absl::InfinitePast();
  std::vector<double> gaps_;
  absl::Notification done_;
};

// Reads one prompt after the other, each to its first token.
class Reader {
 public:
  // `length(i)`: tokens of its i-th prompt.
  Reader(Engine* engine, int number, std::function<int64_t(int)> length)
      : engine_(engine), number_(number), length_(std::move(length)) {}

  void Start() {
    thread_ = std::thread([this] {
      for (int i = 0; !stop_.load(); ++i) ReadOne(i);
    });
  }
  // After the prompt that it is at. Its prompts' lengths.
  std::vector<int64_t> Stop() {
    stop_.store(true);
    thread_.join();
    return std::move(read_);
  }
  void ReadOne(int i) {
    class Waiter final : public TokenSink {
     public:
      void OnStarted(const Started&) override {}
      void OnChunk(const Chunk&) override {}
      void OnFinished(const Finished&) override { done.Notify(); }
      void OnError(const absl::Status& status) override {
        TLIN_CHECK(status.ok());
      }
      absl::Notification done;
    };
    Request request;
    request.id = absl::StrCat("reader-", number_, "-", i);
    request.prompt = SeededTokens(static_cast<uint64_t>(1000 * number_ + i),
                                  length_(i), kVocabulary);
    request.stopping.max_new_tokens = 1;
    const auto waiter = std::make_shared<Waiter>();
    read_.push_back(static_cast<int64_t>(request.prompt.size()));
    TLIN_CHECK(engine_->Submit(std::move(request), waiter).ok());
    waiter->done.WaitForNotification();
  }

 private:
  Engine* const engine_;
  const int number_;
  const std::function<int64_t(int)> length_;
  std::atomic<bool> stop_ = false;
  std::vector<int64_t> read_;
  std::thread thread_;
};

struct Phase {
  double seconds = 0;
  std::vector<double> gaps;  // milliseconds, sorted

  double Quantile(double q) const {
    TLIN_CHECK(!gaps.empty());
    const auto last = static_cast<double>(gaps.size() - 1);
    return gaps[static_cast<size_t>(q * last)];
  }
};

class Bench {
 public:
  explicit Bench(const Effort& effort)
      : effort_(effort),
        model_(MakeSeededModel(PaperConfig(Architecture::kTConstFormer), 1,
                               MakeOptions(), DType::kBF16, BenchThreads())) {
    EngineOptions options;
    options.target_step = effort.target;
    engine_ = Engine::Create(options, model_.get(), nullptr, std::nullopt,
                             &listener_, &clock_, &logger_);
    engine_->Start();
  }
  ~Bench() { engine_->Stop(); }

  void Run() {
    absl::PrintF("%s, %d threads, bf16, --target_step_ms=%g\n\n",
                 ProcessorName(), BenchThreads(),
                 absl::ToDoubleMilliseconds(effort_.target));
    // Prices are found before anything is measured.
    Reader(engine_.get(), 0, [&](int) { return effort_.prompt; }).ReadOne(0);

    const Phase quiet = Measure({});
    const Phase ninth = Measure({[&](int) { return effort_.prompt; }});
    const std::vector<int64_t> prompts = std::exchange(read_, {});
    std::vector<std::function<int64_t(int)>> storm;
    for (int reader = 0; reader < kStormReaders; ++reader) {
      storm.push_back([this, reader](int i) {
        const int64_t part = (7 * reader + 3 * i) % 10 + 1;
        return effort_.prompt * part / 20;
      });
    }
    const Phase stormy = Measure(storm);

    absl::PrintF(
        "| 8 decode | tokens | p50 | p99 | max | p99 / target |\n"
        "|---|---|---|---|---|---|\n");
    Print("alone", quiet);
    Print(absl::StrFormat("beside prompts of %d tokens", effort_.prompt),
          ninth);
    Print(absl::StrFormat("beside %d readers of %d to %d tokens", kStormReaders,
                          effort_.prompt / 20, effort_.prompt / 2),
          stormy);
    PrintThroughput("beside the prompts", quiet, ninth, prompts);
    PrintThroughput("beside the storm", quiet, stormy, read_);
  }

 private:
  static ModelOptions MakeOptions() {
    ModelOptions options;
    options.slots = kDecoding + kStormReaders;
    options.max_context_tokens = 1'000'000;
    return options;
  }

  template <class Function>
  static double Time(const Function& run) {
    const absl::Time begin = absl::Now();
    run();
    return absl::ToDoubleSeconds(absl::Now() - begin);
  }

  // The eight, from the same beginning in each phase: a sync of their own takes
  // the longer the further they are. Their gaps, sorted.
  std::vector<double> Decode() {
    std::vector<std::shared_ptr<GapSink>> sinks;
    for (int i = 0; i < kDecoding; ++i) {
      Request request;
      request.id = absl::StrCat("decoding-", ++requests_);
      // Their windows do not end together.
      request.prompt =
          SeededTokens(static_cast<uint64_t>(i), 200 + 32 * i, kVocabulary);
      request.stopping.max_new_tokens = effort_.tokens;
      request.stopping.ignore_eos = true;
      request.bypass_prefix_cache = true;
      sinks.push_back(std::make_shared<GapSink>());
      TLIN_CHECK(engine_->Submit(std::move(request), sinks.back()).ok());
    }
    std::vector<double> gaps;
    for (const auto& sink : sinks) {
      const std::vector<double>& more = sink->WaitForGaps();
      gaps.insert(gaps.end(), more.begin(), more.end());
    }
    std::sort(gaps.begin(), gaps.end());
    return gaps;
  }

  // Beside readers of such prompts; what they read is in read_.
  Phase Measure(const std::vector<std::function<int64_t(int)>>& lengths) {
    std::vector<std::unique_ptr<Reader>> readers;
    Phase phase;
    phase.seconds = Time([&] {
      for (const auto& length : lengths) {
        readers.push_back(
            std::make_unique<Reader>(engine_.get(), ++readers_, length));
        readers.back()->Start();
      }
      phase.gaps = Decode();
      for (const auto& reader : readers) {
        for (const int64_t tokens : reader->Stop()) read_.push_back(tokens);
      }
    });
    return phase;
  }

  void Print(const std::string& what, const Phase& phase) const {
    absl::PrintF(
        "| %s | %d | %.2f ms | %.2f ms | %.2f ms | %.2f |\n", what,
        phase.gaps.size(), phase.Quantile(0.5), phase.Quantile(0.99),
        phase.gaps.back(),
        phase.Quantile(0.99) / absl::ToDoubleMilliseconds(effort_.target));
  }

  void PrintThroughput(const char* what, const Phase& quiet, const Phase& phase,
                       const std::vector<int64_t>& prompts) {
    Reader reader(engine_.get(), ++readers_, [&](int i) { return prompts[i]; });
    const double alone = Time([&] {
      for (size_t i = 0; i < prompts.size(); ++i) reader.ReadOne(i);
    });
    const double apart = quiet.seconds + alone;
    absl::PrintF(
        "\n%s: %.2f s; one after the other %.2f s and %.2f s for %d prompts; "
        "throughput %.2f\n",
        what, phase.seconds, quiet.seconds, alone, prompts.size(),
        apart / phase.seconds);
  }

  const Effort effort_;
  MonotonicClock clock_;
  SilentLogger logger_;
  RecordingListener listener_;
  const std::unique_ptr<Model> model_;
  std::unique_ptr<Engine> engine_;
  std::vector<int64_t> read_;
  int readers_ = 0;
  int requests_ = 0;
};

}  // namespace
}  // namespace tlin

int main(int argc, char** argv) {
  tlin::Effort effort = {1'600, 100'000, absl::Milliseconds(20)};
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const std::string target = "--target_step_ms=";
    if (argument == "--quick") {
      effort.tokens = 10;
      effort.prompt = 1'000;
    } else if (argument.rfind(target, 0) == 0) {
      effort.target =
          absl::Milliseconds(std::atof(argument.c_str() + target.size()));
    } else {
      std::fprintf(stderr, "stall: no such flag: %s\n", argv[i]);
      return 2;
    }
  }
  tlin::Bench(effort).Run();
  return 0;
}
