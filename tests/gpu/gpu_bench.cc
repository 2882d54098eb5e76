// Decode steps, syncs and prompts on a GPU, and a sync's attention beside
// cuBLAS' strided batches, one JSON object a line: what each took (the median),
// what it moves and computes by closed form (engine/model/traffic_model), and
// what part that is of the device's limits.
//
//   gpu_bench [--quick] [--bytes_per_second=X --flops_per_second=Y] SHAPE...
//
// SHAPE: a model directory with a config.json (deploy/models/shapes). Weights
// are random; contexts are there without having been computed (BenchModel).
// --quick: what is small enough for an emulated GPU.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/backend/cuda/cuda_backend.h"
#include "engine/base/check.h"
#include "engine/model/cost_model.h"
#include "engine/model/traffic_model.h"
#include "nlohmann/json.hpp"
#include "tests/bench/bench_model.h"
#include "tests/gpu/attention_products.h"
#include "tests/testing/seeded_weights.h"

namespace tlin {
namespace {

struct Settings {
  bool quick = false;
  double bytes_per_second = 0;  // 0: not known
  double flops_per_second = 0;
  std::vector<std::string> shapes;
};

double MedianSeconds(int runs, const std::function<void()>& run) {
  std::vector<double> seconds;
  for (int i = 0; i < runs; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    run();
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
            .count());
  }
  std::nth_element(seconds.begin(), seconds.begin() + runs / 2, seconds.end());
  return seconds[static_cast<size_t>(runs / 2)];
}

template <class T>
T OrExit(absl::StatusOr<T> made) {
  if (!made.ok()) {
    std::cerr << "gpu_bench: " << made.status() << "\n";
    std::exit(1);
  }
  return *std::move(made);
}

class Bench {
 public:
  Bench(const Settings& settings, std::string shape, const ModelConfig& config)
      : settings_(settings),
        shape_(std::move(shape)),
        config_(config),
        slots_(settings.quick ? 2 : 64),
        max_tokens_(settings.quick ? 200 : (1 << 20) + 512) {
    const ModelOptions options = BenchModel::Options(slots_, max_tokens_);
    auto backend = OrExit(cuda::CudaBackend::Create(
        0, DType::kBF16, MakeBackendShape(config, options)));
    backend_ = backend.get();
    bench_ = std::make_unique<BenchModel>(config, options, std::move(backend));
  }

  void Decode(int32_t batch, int64_t context) {
    if (batch > slots_ || context > max_tokens_ - 64) return;
    const int64_t window = config_.generation_window;
    // From a quarter of a window on, so that none of the steps is a sync.
    const int64_t tokens = context / window * window + window / 4;
    bench_->Place(batch, tokens);
    bench_->Step();  // is recorded
    const int runs = static_cast<int>(std::min<int64_t>(window / 2, 50));
    const double seconds =
        MedianSeconds(settings_.quick ? 2 : runs, [this] { bench_->Step(); });
    bench_->Clear();
    Print("decode step", {{"batch", batch}, {"context", context}}, seconds,
          DecodeTraffic(config_, DType::kBF16, batch, tokens));
  }

  // All of it in one slice.
  void Sync(int64_t history) {
    if (history > max_tokens_) return;
    history = history / config_.generation_window * config_.generation_window;
    Model& model = *bench_->model();
    const auto tokens = SeededTokens(1, history, config_.vocab_size);
    const double seconds = MedianSeconds(settings_.quick ? 1 : 5, [&] {
      model.Open(0, history + 1);
      model.BeginSync(0, tokens);
      StepPlan plan;
      plan.sync.push_back({0, model.SyncUnitsLeft(0)});
      StepOutput output;
      TLIN_CHECK(model.Run(plan, &output).ok());
      model.Close(0);
    });
    Print("sync", {{"context", history}}, seconds,
          SyncTraffic(config_, DType::kBF16, history));
  }

  void Prompt(int64_t prompt) {
    if (prompt > max_tokens_) return;
    const auto tokens = SeededTokens(1, prompt, config_.vocab_size);
    const double seconds = MedianSeconds(settings_.quick ? 1 : 5, [&] {
      SequenceDriver sequence(bench_->model(), 0, prompt);
      sequence.Feed(tokens);
    });
    Print("prompt", {{"context", prompt}}, seconds,
          PromptTraffic(config_, DType::kBF16, prompt));
  }

  // A tile of a sync's queries over a block of keys, as a restore layer has it
  // over the compressed history.
  void Attention() {
    const int32_t rows = settings_.quick ? 16 : kTileRows;
    const int32_t keys = rows;
    const int64_t width = config_.n_embd;
    const auto made = [this](int64_t bytes) {
      return OrExit(backend_->Allocate(bytes));
    };
    const auto block_memory = made(KvBlockBytes(keys, width, DType::kBF16));
    const KvBlock block = {block_memory->data(), keys, keys};
    const auto q = made(rows * width * 4);
    const auto prepared_q = made(rows * width * 2);
    const auto out = made(rows * width * 4);
    const auto floats = [rows](DeviceBuffer* buffer) {
      return Rows{reinterpret_cast<float*>(buffer->data()), rows};
    };
    // Queries and what is attended in f32, keys and values in bf16.
    Traffic traffic = {static_cast<double>((2 * rows + keys) * width * 4),
                       4.0 * rows * keys * static_cast<double>(width)};
    const nlohmann::ordered_json size = {{"batch", rows}, {"context", keys}};

    // Several in a row, so that it is not the launch that is measured.
    const int calls = settings_.quick ? 1 : 20;
    const auto seconds = [&](const auto& attend) {
      return MedianSeconds(
                 settings_.quick ? 1 : 50,
                 [&] {
                   for (int i = 0; i < calls; ++i) attend();
                   TLIN_CHECK(backend_->Synchronize().ok());
                   TLIN_CHECK(cudaStreamSynchronize(nullptr) == cudaSuccess);
                 }) /
             calls;
    };
    Print("attention", size, seconds([&] {
            backend_->Attend(floats(q.get()), block, floats(out.get()));
          }),
          traffic);
    const auto products = OrExit(cuda::AttentionProducts::Create(
        DType::kBF16, {config_.n_head, config_.head_size()}, rows, keys));
    traffic.bytes = static_cast<double>(products->bytes());
    Print("attention's products by cuBLAS", size, seconds([&] {
            TLIN_CHECK(
                products->Run(prepared_q->data(), block, floats(out.get()).data)
                    .ok());
          }),
          traffic);
  }

 private:
  void Print(absl::string_view what, const nlohmann::ordered_json& size,
             double seconds, const Traffic& traffic) const {
    nlohmann::ordered_json line = {{"what", std::string(what)}};
    line.update(size);
    line["shape"] = shape_;
    line["seconds"] = seconds;
    line["gigabytes_per_second"] = traffic.bytes / seconds / 1e9;
    line["teraflop_per_second"] = traffic.flops / seconds / 1e12;
    if (settings_.bytes_per_second > 0 && settings_.flops_per_second > 0) {
      const double least = traffic.Seconds(settings_.bytes_per_second,
                                           settings_.flops_per_second);
      line["least_seconds"] = least;
      line["of_limit"] = least / seconds;
    }
    std::cout << line.dump() << std::endl;
  }

  const Settings& settings_;
  const std::string shape_;
  const ModelConfig config_;
  const int32_t slots_;
  const int64_t max_tokens_;
  Backend* backend_;  // bench_'s
  std::unique_ptr<BenchModel> bench_;
};

int Run(const Settings& settings) {
  for (const std::string& shape : settings.shapes) {
    const auto config = LoadModelConfig(shape + "/config.json");
    if (!config.ok() || !config->has_windows()) {
      std::cerr << "gpu_bench: " << shape << ": "
                << (config.ok() ? "a transformer has no windows"
                                : config.status().ToString())
                << "\n";
      return 2;
    }
    Bench bench(settings, shape.substr(shape.rfind('/') + 1), *config);
    for (const int64_t context :
         {int64_t{100}, int64_t{1} << 10, int64_t{1} << 17, int64_t{1} << 20}) {
      for (const int32_t batch : {1, 4, 16, 64}) bench.Decode(batch, context);
    }
    for (const int64_t tokens : {150, 1 << 10, 10'000, 100'000, 1 << 20}) {
      bench.Sync(tokens);
      bench.Prompt(tokens);
    }
    bench.Attention();
  }
  return 0;
}

}  // namespace
}  // namespace tlin

int main(int argc, char** argv) {
  tlin::Settings settings;
  for (int i = 1; i < argc; ++i) {
    absl::string_view argument = argv[i];
    if (argument == "--quick") {
      settings.quick = true;
    } else if (absl::ConsumePrefix(&argument, "--bytes_per_second=")) {
      if (!absl::SimpleAtod(argument, &settings.bytes_per_second)) return 2;
    } else if (absl::ConsumePrefix(&argument, "--flops_per_second=")) {
      if (!absl::SimpleAtod(argument, &settings.flops_per_second)) return 2;
    } else {
      settings.shapes.emplace_back(argument);
    }
  }
  if (settings.shapes.empty()) {
    std::cerr << "gpu_bench: which shapes? See the head of gpu_bench.cc\n";
    return 2;
  }
  return tlin::Run(settings);
}
