// How tokens are chosen from logits, and what was chosen: plain types that the
// engine's core, the model, the backends and their devices share.
#ifndef TLIN_ENGINE_SAMPLING_SAMPLING_H_
#define TLIN_ENGINE_SAMPLING_SAMPLING_H_

#include <cstdint>

#include "engine/token.h"

namespace tlin {

struct Sampling {
  float temperature = 1.0f;  // 0: greedy
  int32_t top_k = 0;         // 0: all
  float top_p = 1.0f;
  float min_p = 0.0f;
  float repetition_penalty = 1.0f;
  float frequency_penalty = 0.0f;
  float presence_penalty = 0.0f;
  uint64_t seed = 0;  // with the position it keys the random numbers
};

// Temperatures below this are greedy: the division would leave float's range.
inline constexpr float kGreedyTemperature = 1e-5f;

// Likeliest tokens whose log-probabilities are told beside a token's.
inline constexpr int32_t kMaxLogprobs = 128;

// A token that a sequence holds.
struct TokenCount {
  TokenId token = 0;
  int32_t times = 0;  // generated; 0: it is in the prompt alone
};

struct Candidate {
  TokenId token_id = 0;
  float logprob = 0.0f;
};

// Log-probabilities are of the model's own distribution: logits as they came,
// temperature 1. Rank and candidates put the likelier first, of equals the
// lower id.
struct SampledToken {
  enum class Problem : int32_t {
    kNone,
    kNotFinite,  // a logit is NaN or infinite
    kNoneLeft,   // every token is banned
  };

  Problem problem = Problem::kNone;
  TokenId token = 0;
  float logprob = 0.0f;
  int32_t rank = 0;  // 1: the likeliest; 0: not asked for
  int32_t candidates = 0;
  Candidate top[kMaxLogprobs];  // the first `candidates` of them
};

}  // namespace tlin

#endif  // TLIN_ENGINE_SAMPLING_SAMPLING_H_
