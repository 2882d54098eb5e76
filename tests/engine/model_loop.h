// The engine's loop over the real model, stepped by hand.
#ifndef TLIN_TESTS_ENGINE_MODEL_LOOP_H_
#define TLIN_TESTS_ENGINE_MODEL_LOOP_H_

#include <memory>
#include <utility>
#include <vector>

#include "engine/base/check.h"
#include "engine/engine_loop.h"
#include "engine/inbox.h"
#include "engine/model/config.h"
#include "engine/model/model.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/model_driver.h"
#include "tests/testing/seeded_weights.h"
#include "tests/testing/silent_logger.h"

namespace tlin {

class ModelLoop {
 public:
  // `listener` and `tokenizer`, which may be null, outlive it.
  ModelLoop(const ModelConfig& config, DType dtype, int64_t step_units,
            EngineListener* listener, const Tokenizer* tokenizer = nullptr,
            int64_t prefix_cache_bytes = 0)
      : model_(MakeSeededModel(config, 1, Options(), dtype)),
        inbox_(64, &clock_),
        loop_(LoopOptions(step_units, prefix_cache_bytes), model_.get(),
              tokenizer, std::nullopt, listener, &clock_, &logger_, &inbox_) {}

  static ModelOptions Options() {
    ModelOptions options;
    options.slots = 33;
    options.max_context_tokens = 2000;
    options.history_tokens = 33 * 2048;  // whole pages
    return options;
  }

  // Steps of so many units of fills and slices: the fake clock stands still.
  static EngineOptions LoopOptions(int64_t step_units,
                                   int64_t prefix_cache_bytes) {
    EngineOptions options;
    options.first_guess = {0, 0, 1e-4, {1e-4, 1e-4}};
    options.target_step = absl::Microseconds(100) * step_units;
    options.prefix_cache_bytes = prefix_cache_bytes;
    return options;
  }

  void Submit(Request request, std::shared_ptr<TokenSink> sink) {
    TLIN_CHECK(inbox_.Submit(std::move(request), std::move(sink)).ok());
  }

  void Cancel(absl::string_view request_id) { inbox_.Cancel(request_id); }
  void Step() {
    inbox_.Take(/*busy=*/true, &mail_);
    loop_.Step(&mail_);
  }
  bool busy() const { return loop_.busy(); }
  const Model& model() const { return *model_; }

 private:
  FakeClock clock_;
  SilentLogger logger_;
  const std::unique_ptr<Model> model_;
  Inbox inbox_;
  EngineLoop loop_;
  Inbox::Mail mail_;
};

// A small model of each kind, its windows shorter than most prompts.
inline ModelConfig LoopConfig(Architecture architecture) {
  ModelConfig config;
  config.architecture = architecture;
  config.vocab_size = 300;
  config.n_embd = 72;
  config.n_head = 2;
  if (config.has_windows()) {
    config.n_block = 2;
    config.block_depth = 3;
    config.history_window = 24;
    config.generation_window = 32;
  } else {
    config.n_layer = 3;
  }
  return config;
}

}  // namespace tlin

#endif  // TLIN_TESTS_ENGINE_MODEL_LOOP_H_
