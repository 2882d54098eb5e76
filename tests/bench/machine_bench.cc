// The machine's limits, and our products beside oneDNN's: how fast memory is
// read, by size, and the GEMM rate of each product of the 41M model at 1, 16
// and 256 rows.
//
// oneDNN's lines have two counters more. bits_as_256: 1 where a row has the
// bits that the same row has among 256, with W packed for these. GFLOPs_as_256:
// the rate with W packed for 256 rows, as weights that are in memory once would
// be. engine/backend/README.md says what
// follows from both, and from BM_OneDnnBits.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "engine/base/check.h"
#include "tests/bench/gemm_shapes.h"
#include "tests/bench/onednn_gemm.h"
#include "tests/bench/own_gemm.h"
#include "tests/bench/processor.h"
#include "tests/bench/read_memory.h"
#include "tests/bench/timing.h"

namespace tlin {
namespace {

constexpr auto kRate = benchmark::Counter::kIsRate;

// Argument: MB. In cache, then the 41M model's weights in int8, bf16 and f32.
void BM_Read(benchmark::State& state) {
  const AlignedBuffer memory =
      WrittenMemory(state.range(0) * 1'000'000 / 1024 * 1024);
  WorkerPool pool(BenchThreads());
  for (auto _ : state) benchmark::DoNotOptimize(ReadMemory(memory, pool));
  state.counters["GBps"] = benchmark::Counter(
      1e-9 * static_cast<double>(memory.size() * state.iterations()), kRate);
}
BENCHMARK(BM_Read)
    ->ArgName("MB")
    ->Arg(16)
    ->Arg(41)
    ->Arg(82)
    ->Arg(164)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

template <class Gemm>
void RunGemm(benchmark::State& state, const GemmShape& shape, int64_t rows,
             Gemm* gemm) {
  gemm->Run();
  for (auto _ : state) gemm->Run();
  const auto runs = static_cast<double>(state.iterations());
  state.counters["GFLOPs"] =
      benchmark::Counter(1e-9 * GemmFlops(shape, rows) * runs, kRate);
  state.counters["GBps"] = benchmark::Counter(
      1e-9 * static_cast<double>(gemm->weight_bytes()) * runs, kRate);
}

void OwnProduct(benchmark::State& state, DType dtype, const GemmShape& shape,
                int64_t rows) {
  WorkerPool pool(BenchThreads());
  OwnGemm gemm(dtype, shape, rows, &pool);
  RunGemm(state, shape, rows, &gemm);
}

void OneDnnProduct(benchmark::State& state, DType dtype, const GemmShape& shape,
                   int64_t rows) {
  if (!OneDnnGemm::Supports(dtype)) {
    state.SkipWithError("oneDNN has no such product here");
    return;
  }
  OneDnnGemm gemm(dtype, shape, rows);
  RunGemm(state, shape, rows, &gemm);
  OneDnnGemm among_256(dtype, shape, 256);
  among_256.Run();
  OneDnnGemm packed_for_256(dtype, shape, rows, 256);
  const auto run = [&] { packed_for_256.Run(); };
  run();
  state.counters["GFLOPs_as_256"] =
      1e-9 * GemmFlops(shape, rows) / MedianSeconds(3, 1000, 0.05, run);
  state.counters["bits_as_256"] =
      std::memcmp(packed_for_256.y().data(), among_256.y().data(),
                  packed_for_256.y().size() * sizeof(float)) == 0;
}

// row_counts_with_other_bits: of 1 to 256 rows, how many give some row other
// bits than it has among 256, all with W packed for 256.
// (DNNL_MAX_CPU_ISA=AVX2 shows what an older processor does.)
void OneDnnBits(benchmark::State& state, DType dtype) {
  if (!OneDnnGemm::Supports(dtype)) {
    state.SkipWithError("oneDNN has no such product here");
    return;
  }
  const GemmShape& shape = kPaperGemms[0];
  OneDnnGemm among_256(dtype, shape, 256);
  among_256.Run();
  int different = 0;
  for (auto _ : state) {
    different = 0;
    for (int64_t rows = 1; rows <= 256; ++rows) {
      OneDnnGemm gemm(dtype, shape, rows, 256);
      gemm.Run();
      if (std::memcmp(gemm.y().data(), among_256.y().data(),
                      gemm.y().size() * sizeof(float)) != 0) {
        ++different;
      }
    }
  }
  state.counters["row_counts_with_other_bits"] = different;
}

void Register() {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    benchmark::RegisterBenchmark(
        (std::string("BM_OneDnnBits/") + DTypeName(dtype)).c_str(),
        [dtype](benchmark::State& state) { OneDnnBits(state, dtype); })
        ->Iterations(1)
        ->Unit(benchmark::kMillisecond);
    for (const GemmShape& shape : kPaperGemms) {
      for (const int64_t rows : {1, 16, 256}) {
        const std::string what = std::string("/") + DTypeName(dtype) + "/" +
                                 shape.name + "/rows:" + std::to_string(rows);
        for (const auto& [name, product] :
             {std::pair("BM_Gemm/tlin", &OwnProduct),
              std::pair("BM_Gemm/onednn", &OneDnnProduct)}) {
          benchmark::RegisterBenchmark(
              (name + what).c_str(),
              [product, dtype, shape, rows](benchmark::State& state) {
                product(state, dtype, shape, rows);
              })
              ->UseRealTime()
              ->MinTime(0.1)
              ->Unit(benchmark::kMicrosecond);
        }
      }
    }
  }
}

}  // namespace
}  // namespace tlin

int main(int argc, char** argv) {
  tlin::Register();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
