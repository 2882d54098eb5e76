#include "tests/testing/paper_config.h"

namespace tlin {

ModelConfig PaperConfig(Architecture architecture) {
  ModelConfig config;
  config.architecture = architecture;
  config.vocab_size = 50257;
  config.n_embd = 432;
  config.n_head = 12;
  if (config.has_windows()) {
    config.n_block = 2;
    config.block_depth = 4;
    config.history_window = 256;
    config.generation_window = 256;
  } else {
    config.n_layer = 8;
  }
  return config;
}

}  // namespace tlin
