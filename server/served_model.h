// What the services know of the model. Constant once it is loaded.
#ifndef TLIN_SERVER_SERVED_MODEL_H_
#define TLIN_SERVER_SERVED_MODEL_H_

#include <cstdint>
#include <functional>
#include <string>

#include "engine/engine.h"
#include "engine/model/config.h"
#include "engine/model_runner.h"
#include "engine/step_costs.h"
#include "engine/tokenizer/tokenizer.h"

namespace tlin {

struct ServedModel {
  std::string name;
  ModelInfo info;
  ModelConfig config;
  int64_t session_cache_bytes = 0;       // of one session; constant
  int32_t max_sessions = 0;              // that are kept, wherever
  const Tokenizer* tokenizer = nullptr;  // null: token ids only; borrowed
  // Of any one token; bounds below how many tokens a text has.
  int64_t longest_token_bytes = 0;
  Engine* engine = nullptr;                 // borrowed
  std::function<StepPrices()> step_prices;  // as known by now; thread-safe
};

// 0 without a tokenizer.
inline int64_t LongestTokenBytes(const Tokenizer* tokenizer) {
  size_t longest = 0;
  if (tokenizer == nullptr) return 0;
  for (TokenId id = 0; id < tokenizer->vocab_size(); ++id) {
    const size_t size = tokenizer->Bytes(id).size();
    if (size > longest) longest = size;
  }
  return static_cast<int64_t>(longest);
}

}  // namespace tlin

#endif  // TLIN_SERVER_SERVED_MODEL_H_
