// Bytes a second on one core, and how long a start takes.
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "engine/tokenizer/tokenizer.h"
#include "tests/tokenizer/golden_files.h"

namespace tlin {
namespace {

void BM_Encode(benchmark::State& state, const std::string& text) {
  const auto tokenizer = LoadVariant("gpt2");
  size_t tokens = 0;
  for (auto _ : state) {
    tokens = tokenizer->Encode(text).size();
    benchmark::DoNotOptimize(tokens);
  }
  state.SetBytesProcessed(static_cast<int64_t>(text.size()) *
                          state.iterations());
  state.counters["bytes_a_token"] =
      static_cast<double>(text.size()) / static_cast<double>(tokens);
}

std::string Repeated(const std::string& part, size_t times) {
  std::string text;
  for (size_t i = 0; i < times; ++i) text += part;
  return text;
}

BENCHMARK_CAPTURE(BM_Encode, english, ReadCorpus("sotu.txt.xz"))
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_Encode, chinese,
                  Repeated("\u4F60\u597D\uFF0C\u4E16\u754C\u3002", 50'000))
    ->Unit(benchmark::kMillisecond);
// The worst there is: one word of a million letters, merged through the heap.
BENCHMARK_CAPTURE(BM_Encode, one_word, Repeated("thequickbrownfox", 62'500))
    ->Unit(benchmark::kMillisecond);

void BM_Parse(benchmark::State& state) {
  const std::string json = VariantJson("gpt2").dump();
  for (auto _ : state) {
    auto tokenizer = Tokenizer::Parse(json, "gpt2");
    benchmark::DoNotOptimize(tokenizer);
  }
}
BENCHMARK(BM_Parse)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace tlin
