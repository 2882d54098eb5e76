#include <memory>
#include <utility>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/base/check.h"
#include "tests/bench/bench_model.h"

namespace tlin {
namespace {

std::unique_ptr<Backend> MakeCpu(const ModelConfig& config,
                                 const ModelOptions& options, DType dtype,
                                 int threads) {
  auto cpu =
      CpuBackend::Create(MakeBackendShape(config, options), dtype, threads);
  TLIN_CHECK(cpu.ok());
  return *std::move(cpu);
}

}  // namespace

BenchModel::BenchModel(const ModelConfig& config, DType dtype, int threads,
                       int32_t slots, int64_t max_tokens)
    : BenchModel(config, Options(slots, max_tokens),
                 MakeCpu(config, Options(slots, max_tokens), dtype, threads)) {}

}  // namespace tlin
