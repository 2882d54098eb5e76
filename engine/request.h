// What a caller asks of the engine, after validation of the wire's side.
#ifndef TLIN_ENGINE_REQUEST_H_
#define TLIN_ENGINE_REQUEST_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "engine/sampling/sampling.h"
#include "engine/token.h"

namespace tlin {

struct Stopping {
  int32_t max_new_tokens = 256;
  int32_t min_new_tokens = 0;
  std::vector<std::string> stop;
  std::vector<TokenId> stop_token_ids;
  bool ignore_eos = false;
  bool include_stop = false;
};

struct Output {
  int32_t logprobs = 0;  // the k likeliest beside each token; 0: no logprobs
  bool token_ids_only = false;
};

struct Request {
  enum class Kind {
    kGenerate,
    kScore,  // log-probabilities of the prompt's own tokens; nothing is sampled
  };

  Kind kind = Kind::kGenerate;
  std::string id;  // unique; stands in logs and messages
  // The session that it goes on with; empty: the state is dropped at the end.
  std::string session_id;
  uint64_t binding = 0;  // of the conversation that has the session; 0: none
  std::vector<TokenId> prompt;  // at least one token
  Sampling sampling;
  Stopping stopping;
  Output output;
  int32_t priority = 0;  // higher goes sooner
  std::string client;    // requests of one client share what clients get
  bool bypass_prefix_cache = false;  // no state is shared with others
  // By the engine's Clock. InfiniteFuture: none.
  absl::Time deadline = absl::InfiniteFuture();
};

}  // namespace tlin

#endif  // TLIN_ENGINE_REQUEST_H_
