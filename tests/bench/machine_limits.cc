#include "tests/bench/machine_limits.h"

#include <algorithm>

#include "engine/base/check.h"
#include "engine/model/cost_model.h"
#include "tests/bench/gemm_shapes.h"
#include "tests/bench/onednn_gemm.h"
#include "tests/bench/processor.h"
#include "tests/bench/read_memory.h"
#include "tests/bench/timing.h"
#include "tests/testing/paper_config.h"

namespace tlin {
namespace {

MachineLimits Measure(DType dtype) {
  MachineLimits limits;
  WorkerPool pool(BenchThreads());
  limits.bytes_per_second = ReadBytesPerSecond(
      WeightBytes(PaperConfig(Architecture::kTConstFormer), dtype), pool);
  limits.peak_16 = GemmPeak(dtype, 16);
  limits.peak_256 = GemmPeak(dtype, 256);
  return limits;
}

}  // namespace

double ReadBytesPerSecond(int64_t bytes, WorkerPool& pool) {
  const AlignedBuffer memory = WrittenMemory(bytes / 1024 * 1024);
  uint64_t sum = 0;
  const auto read = [&] { sum += ReadMemory(memory, pool); };
  read();
  const double seconds = MedianSeconds(5, 200, 0.3, read);
  TLIN_CHECK(sum != 0);  // so that every byte is really read
  return static_cast<double>(memory.size()) / seconds;
}

double GemmPeak(DType dtype, int64_t rows) {
  if (!OneDnnGemm::Supports(dtype)) return GemmPeak(DType::kF32, rows);
  double peak = 0;
  for (const GemmShape& shape : kPaperGemms) {
    OneDnnGemm gemm(dtype, shape, rows);
    const auto run = [&gemm] { gemm.Run(); };
    run();
    const double seconds = MedianSeconds(5, 1000, 0.2, run);
    peak = std::max(peak, GemmFlops(shape, rows) / seconds);
  }
  return peak;
}

const MachineLimits& LimitsOf(DType dtype) {
  if (dtype == DType::kF32) {
    static const MachineLimits kF32 = Measure(DType::kF32);
    return kF32;
  }
  static const MachineLimits kBF16 = Measure(DType::kBF16);
  return kBF16;
}

}  // namespace tlin
