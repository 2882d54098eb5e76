// From logits to a token.
//
// In this order: penalties, temperature, top_k, top_p (over what top_k left),
// min_p (of the likeliest's probability), each keeping the likelier and of
// equals the lower id. Then one token is drawn by the one number
// UniformAt(seed, position): the first, in order of ids, at which the sum of
// the kept weights passes u times their total.
#ifndef TLIN_ENGINE_SAMPLER_H_
#define TLIN_ENGINE_SAMPLER_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/logit_math.h"
#include "engine/request.h"
#include "engine/token.h"
#include "engine/token_counts.h"
#include "engine/token_sink.h"

namespace tlin {

// Temperatures below this are greedy: the division would leave float's range.
inline constexpr float kGreedyTemperature = 1e-5f;

// Scratch for one row; allocates nothing after construction. Engine thread
// only.
class Sampler {
 public:
  explicit Sampler(int32_t vocab_size);

  // INTERNAL where a logit is NaN or infinite, or every token is banned.
  // `position`: of the token to choose, in the whole sequence. `banned` are
  // never chosen. REQUIRES: logits.size() == vocab_size; `sampling` is valid.
  absl::StatusOr<TokenId> Sample(absl::Span<const float> logits,
                                 const Sampling& sampling,
                                 const TokenCounts& counts,
                                 absl::Span<const TokenId> banned,
                                 int64_t position);

  // Of the model's own distribution: `logits` as they came, temperature 1. Rank
  // and candidates put the likelier first, of equals the lower id.
  // INTERNAL where a logit is NaN or infinite.
  absl::Status Logprobs(absl::Span<const float> logits, TokenId token,
                        int32_t candidates, TokenLogprobs* out);

 private:
  TokenId SampleFiltered(absl::Span<const float> logits, float max,
                         const Sampling& sampling, double u);
  // Fills choices_ with at least all that the filters can keep, and weights of
  // those; returns the weight of what top_p counts in.
  double GatherChoices(absl::Span<const float> logits, float max,
                       const Sampling& sampling);
  TokenId Draw(double u);

  const size_t vocab_size_;
  std::vector<float> adjusted_;  // [vocab_size] logits after penalties and bans
  std::vector<float> weights_;   // [vocab_size]
  std::vector<Choice> choices_;  // up to vocab_size
};

}  // namespace tlin

#endif  // TLIN_ENGINE_SAMPLER_H_
