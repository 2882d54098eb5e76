// From logits to a token.
//
// In this order: penalties, temperature, top_k, top_p (over what top_k left),
// min_p (of the likeliest's probability), each keeping the likelier and of
// equals the lower id. Then one token is drawn by the one number
// UniformAt(seed, position): the first, in order of ids, at which the sum of
// the kept weights passes u times their total.
#ifndef TLIN_ENGINE_SAMPLING_SAMPLER_H_
#define TLIN_ENGINE_SAMPLING_SAMPLER_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "engine/sampling/logit_math.h"
#include "engine/sampling/sample_row.h"
#include "engine/sampling/sampling.h"
#include "engine/token.h"

namespace tlin {

// Scratch for one row; allocates nothing after construction. Thread-compatible.
class Sampler {
 public:
  explicit Sampler(int32_t vocab_size);

  int64_t bytes() const;  // of scratch

  // All of `out` but candidates beyond those asked for, or the problem alone.
  // REQUIRES: logits.size() == vocab_size; `row` is valid.
  void Sample(absl::Span<const float> logits, const SampleRow& row,
              SampledToken* out);

  // The log-probabilities of a token that is there. REQUIRES: as Sample;
  // 0 <= candidates <= kMaxLogprobs.
  void Score(absl::Span<const float> logits, TokenId token, int32_t candidates,
             SampledToken* out);

 private:
  TokenId Choose(absl::Span<const float> logits, float max,
                 const SampleRow& row);
  TokenId ChooseFiltered(absl::Span<const float> logits, float max,
                         const Sampling& sampling, double u);
  // Fills choices_ with at least all that the filters can keep, and weights of
  // those; returns the weight of what top_p counts in.
  double GatherChoices(absl::Span<const float> logits, float max,
                       const Sampling& sampling);
  TokenId Draw(double u);
  // REQUIRES: all logits are finite, `max` is the largest.
  void AddLogprobs(absl::Span<const float> logits, float max,
                   int32_t candidates, SampledToken* out);

  const size_t vocab_size_;
  std::vector<float> adjusted_;  // [vocab_size] logits after penalties and bans
  std::vector<float> weights_;   // [vocab_size]
  std::vector<Choice> choices_;  // up to vocab_size
};

}  // namespace tlin

#endif  // TLIN_ENGINE_SAMPLING_SAMPLER_H_
