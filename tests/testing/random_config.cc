#include "tests/testing/random_config.h"

#include <random>

namespace tlin {

ModelConfig RandomConfig(uint32_t seed) {
  std::mt19937 random(seed);
  const auto in = [&random](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random);
  };
  ModelConfig config;
  const int architecture = seed % 5;
  config.architecture = architecture == 4  ? Architecture::kTransformer
                        : architecture % 2 ? Architecture::kTLinFormer
                                           : Architecture::kTConstFormer;
  config.vocab_size = in(20, 150);
  config.n_head = in(1, 3);
  config.n_embd = config.n_head * (in(0, 3) == 0 ? 36 : 2 * in(1, 12));
  if (config.has_windows()) {
    config.n_block = in(1, 3);
    config.block_depth = in(2, 4);
    config.history_window = in(0, 4) == 0 ? 0 : in(1, 24);
    config.generation_window = in(1, 20);
    config.derived_history = in(0, 2) == 0;
  } else {
    config.n_layer = in(1, 3);
  }
  return config;
}

}  // namespace tlin
