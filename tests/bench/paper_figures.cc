// Figure 9 of the TLinFormer paper (and its like in TConstFormer's), repeated
// on this engine: for the three architectures at 41M parameters and N tokens,
// the time of a cache hit (one more token), of a cache miss (the history is
// read again, and one token), and the bytes of the cache.
//
//   paper_figures [--dtype=bf16|f32] [--threads=N] [--max_tokens=1048576]
//                 [--max_cache_gib=4] [--max_miss_tflop=20] > figures.json
//
// A hit is timed over a state of N tokens whose numbers were not computed
// (BenchModel): values do not change the time. Points whose cache would be
// larger, or whose miss would be more work, than the limits say are left out;
// their bytes are still given, by closed form.
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "engine/model/cost_model.h"
#include "tests/bench/bench_model.h"
#include "tests/bench/processor.h"
#include "tests/bench/timing.h"
#include "tests/testing/model_driver.h"
#include "tests/testing/paper_config.h"
#include "tests/testing/seeded_weights.h"

namespace tlin {
namespace {

using Json = nlohmann::json;

struct Flags {
  DType dtype = DType::kBF16;
  int threads = BenchThreads();
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

int64_t CacheBytes(const ModelConfig& config, DType dtype, int64_t tokens) {
  return SlotBytes(config, dtype, tokens) +
         HistoryPages(config, tokens) * HistoryPageBytes(config, dtype);
}

double MissFlops(const ModelConfig& config, int64_t tokens) {
  if (config.has_windows()) return SyncFlops(config, tokens);
  // Everything is read, with half of it before each token on average.
  return static_cast<double>(tokens) * RowFlops(config, tokens / 2);
}

constexpr int kHits = 64;

// One more token, `tokens` with it, over what is cached.
double HitSeconds(BenchModel* model, int64_t tokens) {
  std::vector<double> seconds;
  while (static_cast<int>(seconds.size()) < kHits) {
    // As many hits as end with `tokens` and begin near it.
    const int64_t hits = std::clamp<int64_t>(tokens / 4, 1, kHits);
    model->Place(1, tokens - hits);
    for (int64_t i = 0; i < hits; ++i) {
      seconds.push_back(Seconds([model] { model->Step(); }));
    }
  }
  return Median(std::move(seconds));
}

// The token after `tokens`, with nothing cached but token ids.
double MissSeconds(Model* model, const ModelConfig& config, int64_t tokens) {
  const std::vector<TokenId> ids =
      SeededTokens(1, tokens + 1, config.vocab_size);
  return MedianSeconds(1, 10, 3.0, [&] {
    SequenceDriver sequence(model, 0, tokens + 1);
    sequence.Feed(ids);
  });
}

Json Point(Architecture architecture, int64_t tokens, const Flags& flags) {
  const ModelConfig config = PaperConfig(architecture);
  Json point;
  point["architecture"] = ArchitectureName(architecture);
  point["tokens"] = tokens;
  const int64_t bytes = CacheBytes(config, flags.dtype, tokens);
  point["cache_bytes"] = bytes;
  if (bytes > flags.max_cache_gib << 30) return point;
  BenchModel model(config, flags.dtype, flags.threads, 1, tokens + 1);
  point["hit_seconds"] = HitSeconds(&model, tokens);
  model.Clear();
  if (MissFlops(config, tokens) <=
      static_cast<double>(flags.max_miss_tflop) * 1e12) {
    point["miss_seconds"] = MissSeconds(model.model(), config, tokens);
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
  result["processor"] = ProcessorName();
  result["threads"] = flags.threads;
  result["dtype"] = DTypeName(flags.dtype);
  result["parameters"] =
      PaperConfig(Architecture::kTConstFormer).ParameterCount();
  for (int64_t tokens = 1; tokens <= flags.max_tokens; tokens *= 4) {
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
