// Attention and whole layers of the CPU backend at the shapes of the papers'
// 41M model, by themselves. machine_bench has the products alone.
//
// Counters: GFLOPs, and GBps of keys (or weights) that one call has to read.
#include <benchmark/benchmark.h>

#include <memory>
#include <numeric>
#include <vector>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/base/check.h"
#include "engine/model/cost_model.h"
#include "engine/model/weights.h"
#include "tests/bench/gemm_shapes.h"
#include "tests/bench/processor.h"
#include "tests/testing/paper_config.h"
#include "tests/testing/seeded_weights.h"
#include "tests/testing/skipping_backend.h"

namespace tlin {
namespace {

constexpr int32_t kWidth = 432;
constexpr int32_t kMaxRows = 256;

// The backend, whose memory comes filled with small numbers, and rows.
class Bench {
 public:
  explicit Bench(DType dtype) {
    const ModelConfig config = PaperConfig(Architecture::kTConstFormer);
    BackendShape shape;
    shape.n_embd = kWidth;
    shape.n_head = config.n_head;
    shape.ffn_size = config.ffn_size();
    shape.vocab_size = config.vocab_size;
    shape.max_rows = kMaxRows;
    shape.max_logit_rows = 64;
    auto cpu = CpuBackend::Create(shape, dtype, BenchThreads());
    TLIN_CHECK(cpu.ok());
    backend_ = std::make_unique<SkippingBackend>(*std::move(cpu));
    for (auto& rows : rows_) rows = Allocate(kMaxRows * kWidth * 4);
    const std::vector<float> values = RandomFloats(kMaxRows * kWidth, 1);
    std::copy(values.begin(), values.end(), x(kMaxRows).data);
    std::copy(values.begin(), values.end(), q(kMaxRows).data);
  }

  Backend* operator->() { return backend_.get(); }
  Rows x(int32_t rows) { return RowsOf(rows_[0], rows); }
  Rows q(int32_t rows) { return RowsOf(rows_[1], rows); }
  Rows out(int32_t rows) { return RowsOf(rows_[2], rows); }

  std::unique_ptr<DeviceBuffer> Allocate(int64_t bytes) {
    auto buffer = backend_->Allocate(bytes);
    TLIN_CHECK(buffer.ok());
    // Memory that was never written is one page of zeros, in the caches.
    std::memset((*buffer)->data(), 0x3C, bytes);
    return *std::move(buffer);
  }

  // A block with all its rows filled; its memory is the bench's.
  KvBlock MakeBlock(int32_t rows) {
    blocks_.push_back(Allocate(KvBlockBytes(rows, kWidth, backend_->dtype())));
    return {blocks_.back()->data(), rows, rows};
  }

  double KeyBytes(double keys) const {
    return keys * 2 * kWidth *
           static_cast<double>(DTypeBytes(backend_->dtype()));
  }

 private:
  static Rows RowsOf(const std::unique_ptr<DeviceBuffer>& buffer,
                     int32_t rows) {
    return {reinterpret_cast<float*>(buffer->data()), rows};
  }

  std::unique_ptr<SkippingBackend> backend_;
  std::unique_ptr<DeviceBuffer> rows_[3];
  std::vector<std::unique_ptr<DeviceBuffer>> blocks_;
};

DType DTypeOf(const benchmark::State& state) {
  return state.range(0) != 0 ? DType::kBF16 : DType::kF32;
}

void SetCounters(benchmark::State& state, double flops, double bytes) {
  const auto runs = static_cast<double>(state.iterations());
  const auto rate = [runs](double value) {
    return benchmark::Counter(value * runs, benchmark::Counter::kIsRate);
  };
  state.counters["GFLOPs"] = rate(flops * 1e-9);
  state.counters["GBps"] = rate(bytes * 1e-9);
}

// Scores and weighted values of `pairs` queries and keys.
double AttentionFlops(double pairs) { return pairs * 4 * kWidth; }

// A layer's generation path: `sequences` sequences with as many rows each, half
// a window before them, and a full compressed history.
void BM_AttendWindow(benchmark::State& state) {
  Bench bench(DTypeOf(state));
  const auto sequences = static_cast<int32_t>(state.range(1));
  const auto rows = static_cast<int32_t>(state.range(2));
  const auto history = static_cast<int32_t>(state.range(3));
  const int32_t before = rows == 1 ? 127 : 0;
  std::vector<std::vector<KvBlock>> windows, histories;
  std::vector<WindowPart> parts;
  for (int32_t i = 0; i < sequences; ++i) {
    windows.push_back({bench.MakeBlock(before + rows)});
    histories.emplace_back();
    for (int32_t at = 0; at < history; at += kTileRows) {
      histories.back().push_back(bench.MakeBlock(kTileRows));
    }
    parts.push_back({i * rows, rows, windows.back(), before, histories.back()});
  }
  const Rows q = bench.q(sequences * rows);
  const Rows out = bench.out(sequences * rows);
  for (auto _ : state) bench->AttendWindow(q, parts, out);
  const double keys = before + (rows + 1) / 2.0 + history;
  SetCounters(state, AttentionFlops(sequences * rows * keys),
              bench.KeyBytes(sequences * (before + rows + history)));
}
BENCHMARK(BM_AttendWindow)
    ->ArgNames({"bf16", "sequences", "rows", "history"})
    ->ArgsProduct({{0, 1}, {1, 4, 16, 64}, {1}, {256}})
    ->ArgsProduct({{0, 1}, {1}, {16, 256}, {256}})
    ->ArgsProduct({{0, 1}, {1}, {1}, {100 << 10}})  // tlinformer's pages
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

// The hidden layers' and the restore layer's attention in a sync.
void BM_Attend(benchmark::State& state) {
  Bench bench(DTypeOf(state));
  const KvBlock keys = bench.MakeBlock(256);
  for (auto _ : state) bench->Attend(bench.q(256), keys, bench.out(256));
  SetCounters(state, AttentionFlops(256 * 256), bench.KeyBytes(256));
}
BENCHMARK(BM_Attend)->ArgName("bf16")->Arg(0)->Arg(1)->UseRealTime()->Unit(
    benchmark::kMicrosecond);

// The compress layer's: a tile of the history, met by the queries.
void BM_AccumulateAttention(benchmark::State& state) {
  Bench bench(DTypeOf(state));
  const KvBlock keys = bench.MakeBlock(kTileRows);
  const auto partial = bench.Allocate(bench->PartialBytes(256));
  bench->ResetPartial(256, partial->data());
  for (auto _ : state) {
    bench->AccumulateAttention(bench.q(256), keys, partial->data());
  }
  SetCounters(state, AttentionFlops(256 * kTileRows),
              bench.KeyBytes(kTileRows));
}
BENCHMARK(BM_AccumulateAttention)
    ->ArgName("bf16")
    ->Arg(0)
    ->Arg(1)
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

// Everything of a layer but attention: LayerNorm, projections and rotation, the
// feed-forward network.
void BM_Layer(benchmark::State& state) {
  Bench bench(DTypeOf(state));
  ModelConfig config = PaperConfig(Architecture::kTransformer);
  config.n_layer = 1;
  config.vocab_size = 64;  // the embedding takes no part
  const SeededWeights seeded = MakeSeededWeights(config, 1);
  const auto weights =
      MakeWeights(config, seeded.tensors, "seeded", bench.operator->());
  TLIN_CHECK(weights.ok());
  const LayerWeights& layer = weights->layers[0];
  const auto rows = static_cast<int32_t>(state.range(1));
  std::vector<int32_t> positions(rows);
  std::iota(positions.begin(), positions.end(), 0);
  const KvBlock block = bench.MakeBlock(rows);
  std::vector<KvRow> kv;
  kv.reserve(rows);
  for (int32_t i = 0; i < rows; ++i) {
    kv.push_back({block.data, block.capacity, i});
  }
  for (auto _ : state) {
    bench->ProjectQkv(layer, bench.x(rows), positions, bench.q(rows), kv);
    bench->Finish(layer, bench.out(rows), bench.x(rows));
  }
  const double elements =
      4.0 * kWidth * kWidth + 3.0 * kWidth * config.ffn_size();
  SetCounters(state, 2 * elements * rows,
              elements * static_cast<double>(DTypeBytes(bench->dtype())));
}
BENCHMARK(BM_Layer)
    ->ArgNames({"bf16", "rows"})
    ->ArgsProduct({{0, 1}, {1, 4, 16, 64, 256}})
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace tlin

BENCHMARK_MAIN();
