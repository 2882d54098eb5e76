// A model whose sequences can be at any position without having been computed:
// values do not change the time of a step.
#ifndef TLIN_TESTS_BENCH_BENCH_MODEL_H_
#define TLIN_TESTS_BENCH_BENCH_MODEL_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/model/model.h"
#include "tests/testing/model_driver.h"
#include "tests/testing/skipping_backend.h"

namespace tlin {

class BenchModel {
 public:
  // `slots` sequences of up to `max_tokens` tokens each.
  static ModelOptions Options(int32_t slots, int64_t max_tokens);
  // Random weights. REQUIRES: `backend` is for MakeBackendShape(config,
  // options).
  BenchModel(const ModelConfig& config, const ModelOptions& options,
             std::unique_ptr<Backend> backend);
  // The same on the CPU (cpu_bench_model.cc).
  BenchModel(const ModelConfig& config, DType dtype, int threads, int32_t slots,
             int64_t max_tokens);

  Model* model() { return model_.get(); }

  // Sequences of `tokens` tokens each in slots [0, batch), in place of all that
  // were placed before. Their numbers were not computed.
  void Place(int32_t batch, int64_t tokens);
  // One token more for each, all in one step. A hit, unless a window is full.
  void Step();
  void Clear() { sequences_.clear(); }

 private:
  const ModelConfig config_;
  const int64_t max_tokens_;
  SkippingBackend* backend_;  // the model's
  std::unique_ptr<Model> model_;
  std::vector<std::unique_ptr<SequenceDriver>> sequences_;
};

}  // namespace tlin

#endif  // TLIN_TESTS_BENCH_BENCH_MODEL_H_
