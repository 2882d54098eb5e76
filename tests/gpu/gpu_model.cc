// Models on a GPU.
#include "engine/backend/cuda/cuda_backend.h"
#include "engine/base/check.h"
#include "tests/testing/model_driver.h"

namespace tlin {

std::unique_ptr<Model> MakeSeededModel(const ModelConfig& config, uint64_t seed,
                                       const ModelOptions& options, DType dtype,
                                       int /*threads*/) {
  auto backend =
      cuda::CudaBackend::Create(0, dtype, MakeBackendShape(config, options));
  TLIN_CHECK(backend.ok());
  return MakeSeededModel(config, seed, options, *std::move(backend));
}

}  // namespace tlin
