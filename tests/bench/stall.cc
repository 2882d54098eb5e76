// Whether syncs and prompts stall those who decode: the papers' 41M
// tconstformer in bf16 behind the engine, in one run.
//
//   stall [--quick] [--target_step_ms=20]
//
// Eight sequences decode: alone; beside one prompt of 100,000 tokens after the
// other (each is one sync); beside a storm of prompts of 5,000 to 50,000. The
// gaps between tokens are the engine's own, from one event to the next. The
// limit beside them is the time of a step of the eight. Throughput is held
// against the same work one after the other: so many tokens of the eight alone,
// and so many prompts alone.
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
#include "absl/synchronization/mutex.h"
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
  absl::Duration phase;  // at least
  int64_t prompt;        // tokens of the ninth
  absl::Duration target;
};

// Keeps the gaps between its tokens. Engine thread, but where said otherwise.
class GapSink final : public TokenSink {
 public:
  void OnStarted(const Started&) override {}
  void OnChunk(const Chunk&) override {
    const absl::Time now = absl::Now();
    absl::MutexLock lock(&mutex_);
    if (last_ != absl::InfinitePast()) gaps_.push_back(now - last_);
    last_ = now;
  }
  void OnFinished(const Finished&) override {}
  void OnError(const absl::Status&) override {}

  // Any thread. Those since the last call.
  std::vector<absl::Duration> TakeGaps() {
    absl::MutexLock lock(&mutex_);
    return std::exchange(gaps_, {});
  }

 private:
  absl::Mutex mutex_;
  absl::Time last_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  std::vector<absl::Duration> gaps_ ABSL_GUARDED_BY(mutex_);
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
    // Prices are found, and a prompt alone is timed, before anybody decodes.
    Reader alone(engine_.get(), 0, [&](int) { return effort_.prompt; });
    alone.ReadOne(0);
    const double one = Time([&] { alone.ReadOne(1); });
    StartDecoding();
    RunFor(effort_.phase / 4);
    TakeGaps();

    const Phase quiet = Measure({});
    const Phase ninth = Measure({[&](int) { return effort_.prompt; }});
    const std::vector<int64_t> read = std::exchange(read_, {});
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
    PrintThroughput("prompts one by one", quiet, ninth, read, one);
    PrintThroughput("the storm", quiet, stormy, read_, one);
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

  void RunFor(absl::Duration duration) { absl::SleepFor(duration); }

  void StartDecoding() {
    for (int i = 0; i < kDecoding; ++i) {
      Request request;
      request.id = absl::StrCat("decoding-", i);
      // Their windows do not end together.
      request.prompt =
          SeededTokens(static_cast<uint64_t>(i), 200 + 32 * i, kVocabulary);
      request.stopping.max_new_tokens = 900'000;
      request.stopping.ignore_eos = true;
      sinks_.push_back(std::make_shared<GapSink>());
      TLIN_CHECK(engine_->Submit(std::move(request), sinks_.back()).ok());
    }
  }

  std::vector<double> TakeGaps() {
    std::vector<double> gaps;
    for (const auto& sink : sinks_) {
      for (const absl::Duration gap : sink->TakeGaps()) {
        gaps.push_back(absl::ToDoubleMilliseconds(gap));
      }
    }
    std::sort(gaps.begin(), gaps.end());
    return gaps;
  }

  // Beside readers of such prompts; what they read is in read_.
  Phase Measure(const std::vector<std::function<int64_t(int)>>& lengths) {
    std::vector<std::unique_ptr<Reader>> readers;
    TakeGaps();
    Phase phase;
    phase.seconds = Time([&] {
      for (const auto& length : lengths) {
        readers.push_back(
            std::make_unique<Reader>(engine_.get(), ++readers_, length));
        readers.back()->Start();
      }
      RunFor(effort_.phase);
      for (const auto& reader : readers) {
        for (const int64_t tokens : reader->Stop()) read_.push_back(tokens);
      }
    });
    phase.gaps = TakeGaps();
    return phase;
  }

  void Print(const std::string& what, const Phase& phase) const {
    absl::PrintF(
        "| %s | %d | %.2f ms | %.2f ms | %.2f ms | %.2f |\n", what,
        phase.gaps.size(), phase.Quantile(0.5), phase.Quantile(0.99),
        phase.gaps.back(),
        phase.Quantile(0.99) / absl::ToDoubleMilliseconds(effort_.target));
  }

  // `one`: seconds of a prompt of effort_.prompt tokens alone; others are as
  // much shorter as they are.
  void PrintThroughput(const char* what, const Phase& quiet, const Phase& phase,
                       const std::vector<int64_t>& read, double one) const {
    const double tokens = static_cast<double>(phase.gaps.size());
    const double token_seconds =
        quiet.seconds / static_cast<double>(quiet.gaps.size());
    double prompts = 0;
    for (const int64_t length : read) {
      prompts +=
          static_cast<double>(length) / static_cast<double>(effort_.prompt);
    }
    const double apart = tokens * token_seconds + prompts * one;
    absl::PrintF(
        "\n%s: %d tokens and %.2f prompts of %d in %.2f s; one after the other "
        "%.2f s; ratio %.2f\n",
        what, phase.gaps.size(), prompts, effort_.prompt, phase.seconds, apart,
        apart / phase.seconds);
  }

  const Effort effort_;
  MonotonicClock clock_;
  SilentLogger logger_;
  RecordingListener listener_;
  const std::unique_ptr<Model> model_;
  std::unique_ptr<Engine> engine_;
  std::vector<std::shared_ptr<GapSink>> sinks_;
  std::vector<int64_t> read_;
  int readers_ = 0;
};

}  // namespace
}  // namespace tlin

int main(int argc, char** argv) {
  tlin::Effort effort = {absl::Seconds(30), 100'000, absl::Milliseconds(20)};
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const std::string target = "--target_step_ms=";
    if (argument == "--quick") {
      effort.phase = absl::Milliseconds(500);
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
