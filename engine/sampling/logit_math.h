// Passes over one row of logits, and the selections made from it.
#ifndef TLIN_ENGINE_SAMPLING_LOGIT_MATH_H_
#define TLIN_ENGINE_SAMPLING_LOGIT_MATH_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "engine/token.h"

namespace tlin {

struct LogitMax {
  float value = 0.0f;
  bool finite = false;  // every logit of the row is
};

// One pass. REQUIRES: logits is not empty.
LogitMax FindMax(absl::Span<const float> logits);

// The first token with logit `value`. REQUIRES: there is one.
TokenId FirstEqual(absl::Span<const float> logits, float value);

// weights[i] = SampleWeight(logits[i], max, scale), 0 for -infinity; returns
// their sum, which is exact. REQUIRES: max is the maximum, scale > 0, sizes are
// equal.
double ExpWeights(absl::Span<const float> logits, float max, float scale,
                  absl::Span<float> weights);
// Sum of exp(logits[i] - max). The order of addition depends on the size alone.
double SumExp(absl::Span<const float> logits, float max);

// The first token, in order of ids, at which the sum of weights passes
// u * (their sum), u in [0, 1). REQUIRES: a weight is positive.
TokenId WalkWeights(absl::Span<const float> weights, double u);

// A token that may be chosen.
struct Choice {
  float logit = 0.0f;
  float weight = 0.0f;
  TokenId id = 0;
};

// Likelier first; of equals the lower id.
inline bool Likelier(const Choice& a, const Choice& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

// The k likeliest, in no order; all where there are not k. Weights are not set.
void SelectTop(absl::Span<const float> logits, int32_t k,
               std::vector<Choice>* choices);

// Keeps the likeliest k. REQUIRES: k >= 1.
void KeepTop(int32_t k, std::vector<Choice>* choices);

// Keeps the fewest likeliest whose weights sum to `mass`; all where they do
// not.
void KeepMass(double mass, std::vector<Choice>* choices);

}  // namespace tlin

#endif  // TLIN_ENGINE_SAMPLING_LOGIT_MATH_H_
