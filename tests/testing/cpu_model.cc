// Models on the CPU.
#include "engine/backend/cpu/cpu_backend.h"
#include "engine/base/check.h"
#include "tests/testing/model_driver.h"

namespace tlin {

std::unique_ptr<Model> MakeSeededModel(const ModelConfig& config, uint64_t seed,
                                       const ModelOptions& options, DType dtype,
                                       int threads) {
  auto backend =
      CpuBackend::Create(MakeBackendShape(config, options), dtype, threads);
  TLIN_CHECK(backend.ok());
  return MakeSeededModel(config, seed, options, *std::move(backend));
}

}  // namespace tlin
