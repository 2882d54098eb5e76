// Figure 9 of the TLinFormer paper (and its like in TConstFormer's), repeated
// on this engine: for the three architectures at 41M parameters and N tokens,
// the time of a cache hit (one more token), of a cache miss (the history is
// read again, and one token), and the bytes of the cache.
//
//   paper_figures [--dtype=bf16|f32] [--threads=2] [--max_tokens=1048576]
//                 [--max_cache_gib=4] [--max_miss_tflop=20] > figures.json
//
// A hit is timed over a state of N tokens whose numbers were not computed
// (SkippingBackend): values do not change the time. Points whose cache would be
// larger, or whose miss would be more work, than the limits say are left out;
// their bytes are still given, by closed form.
#include <algorithm>
#include <chrono>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "engine/backend/cpu/cpu_backend.h"
#include "engine/base/check.h"
#include "engine/model/cost_model.h"
#include "tests/testing/model_driver.h"
#include "tests/testing/paper_config.h"
#include "tests/testing/seeded_weights.h"
#include "tests/testing/skipping_backend.h"

namespace tlin {
namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

struct Flags {
  DType dtype = DType::kBF16;
  int threads = 2;
  int64_t max_tokens = 1 << 20;
  int64_t max_cache_gib = 4;
  int64_t max_miss_tflop = 20;
};

bool ParseFlags(int argc, char** argv, Flags* flags) {
  for (int i = 1; i < argc; ++i) {
    absl::string_view flag = argv[i];
    int64_t number = 0;
    if (flag == "--dtype=bf16" || flag == "--dtype=f32") {
      flags->dtype = flag == "--dtype=f32" ? DType::kF32 : DType::kBF16;
    } else if (absl::ConsumePrefix(&flag, "--threads=") &&
               absl::SimpleAtoi(flag, &number) && number > 0) {
      flags->threads = static_cast<int>(number);
    } else if (absl::ConsumePrefix(&flag, "--max_tokens=") &&
               absl::SimpleAtoi(flag, &number) && number > 0) {
      flags->max_tokens = number;
    } else if (absl::ConsumePrefix(&flag, "--max_cache_gib=") &&
               absl::SimpleAtoi(flag, &number) && number > 0) {
      flags->max_cache_gib = number;
    } else if (absl::ConsumePrefix(&flag, "--max_miss_tflop=") &&
               absl::SimpleAtoi(flag, &number) && number > 0) {
      flags->max_miss_tflop = number;
    } else {
      std::cerr << "paper_figures: no such flag: " << argv[i] << "\n";
      return false;
    }
  }
  return true;
}

std::string Processor() {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line)) {
    if (absl::StartsWith(line, "model name")) {
      return line.substr(line.find(':') + 2);
    }
  }
  return "unknown";
}

double Median(std::vector<double> values) {
  const auto middle = values.begin() + values.size() / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// Median over runs, as many as a second holds, 3 to `most`.
template <class Function>
double MedianSeconds(int most, const Function& run) {
  std::vector<double> seconds;
  double total = 0;
  while (static_cast<int>(seconds.size()) < most &&
         (seconds.size() < 3 || total < 1.0)) {
    const auto begin = Clock::now();
    run();
    seconds.push_back(
        std::chrono::duration<double>(Clock::now() - begin).count());
    total += seconds.back();
  }
  return Median(std::move(seconds));
}

int64_t CacheBytes(const ModelConfig& config, DType dtype, int64_t tokens) {
  return SlotBytes(config, dtype, tokens) +
         HistoryPages(config, tokens) * HistoryPageBytes(config, dtype);
}

double MissFlops(const ModelConfig& config, int64_t tokens) {
  if (config.has_windows()) return SyncFlops(config, tokens);
  // Everything is read, with half of it before each token on average.
  return static_cast<double>(tokens) * RowFlops(config, tokens / 2);
}

// One model with room for one sequence of `tokens` tokens and one more.
class Measurement {
 public:
  Measurement(const ModelConfig& config, const Flags& flags, int64_t tokens)
      : tokens_(SeededTokens(1, tokens + 1, config.vocab_size)) {
    ModelOptions options;
    options.slots = 1;
    options.max_context_tokens = tokens + 1;
    options.history_tokens = tokens + 1;
    options.max_syncs = 1;
    auto cpu = CpuBackend::Create(MakeBackendShape(config, options),
                                  flags.dtype, flags.threads);
    TLIN_CHECK(cpu.ok());
    auto backend = std::make_unique<SkippingBackend>(*std::move(cpu));
    backend_ = backend.get();
    model_ = MakeSeededModel(config, 1, options, std::move(backend));
  }

  // One of the last kHits tokens before `tokens`, with all before it cached.
  double HitSeconds() {
    SequenceDriver sequence(model_.get(), 0, size());
    const int64_t cached = size() - 1 - kHits;
    backend_->set_skip(true);
    sequence.Feed(absl::MakeConstSpan(tokens_).first(cached));
    backend_->set_skip(false);
    int64_t next = cached;
    const auto hit = [&] {
      sequence.Feed(absl::MakeConstSpan(tokens_).subspan(next++, 1));
    };
    hit();  // not timed: the first touch of the weights
    return MedianSeconds(kHits - 1, hit);
  }

  // The token after `tokens`, with nothing cached but token ids.
  double MissSeconds() {
    return MedianSeconds(10, [this] {
      SequenceDriver sequence(model_.get(), 0, size());
      sequence.Feed(tokens_);
    });
  }

 private:
  static constexpr int kHits = 64;

  int64_t size() const { return static_cast<int64_t>(tokens_.size()); }

  const std::vector<TokenId> tokens_;
  SkippingBackend* backend_;  // the model's
  std::unique_ptr<Model> model_;
};

Json Point(Architecture architecture, int64_t tokens, const Flags& flags) {
  const ModelConfig config = PaperConfig(architecture);
  Json point;
  point["architecture"] = ArchitectureName(architecture);
  point["tokens"] = tokens;
  const int64_t bytes = CacheBytes(config, flags.dtype, tokens);
  point["cache_bytes"] = bytes;
  if (bytes > flags.max_cache_gib << 30) return point;
  Measurement measurement(config, flags, tokens);
  point["hit_seconds"] = measurement.HitSeconds();
  if (MissFlops(config, tokens) <=
      static_cast<double>(flags.max_miss_tflop) * 1e12) {
    point["miss_seconds"] = measurement.MissSeconds();
  }
  return point;
}

// How many times faster, or smaller, than the transformer's point.
void AddSpeedUps(const Json& baseline, Json* point) {
  for (const char* figure : {"hit_seconds", "miss_seconds", "cache_bytes"}) {
    if (!baseline.contains(figure) || !point->contains(figure)) continue;
    (*point)["transformer_ratio"][figure] =
        baseline[figure].get<double>() / (*point)[figure].get<double>();
  }
}

int Run(const Flags& flags) {
  Json result;
  result["processor"] = Processor();
  result["threads"] = flags.threads;
  result["dtype"] = DTypeName(flags.dtype);
  result["parameters"] =
      PaperConfig(Architecture::kTConstFormer).ParameterCount();
  for (int64_t tokens = 256; tokens <= flags.max_tokens; tokens *= 4) {
    const Json baseline = Point(Architecture::kTransformer, tokens, flags);
    result["points"].push_back(baseline);
    for (const Architecture architecture :
         {Architecture::kTLinFormer, Architecture::kTConstFormer}) {
      Json point = Point(architecture, tokens, flags);
      AddSpeedUps(baseline, &point);
      std::cerr << point.dump() << "\n";
      result["points"].push_back(std::move(point));
    }
  }
  std::cout << result.dump(1) << "\n";
  return 0;
}

}  // namespace
}  // namespace tlin

int main(int argc, char** argv) {
  tlin::Flags flags;
  if (!tlin::ParseFlags(argc, argv, &flags)) return 2;
  return tlin::Run(flags);
}
