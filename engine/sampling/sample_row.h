// What is asked of a row of logits.
#ifndef TLIN_ENGINE_SAMPLING_SAMPLE_ROW_H_
#define TLIN_ENGINE_SAMPLING_SAMPLE_ROW_H_

#include <cstdint>

#include "absl/types/span.h"
#include "engine/sampling/sampling.h"
#include "engine/token.h"

namespace tlin {

// How the token that follows a row of logits is chosen. Spans are borrowed.
struct SampleRow {
  Sampling sampling;
  int64_t position = 0;  // of the token to choose, in the whole sequence
  // What the penalties look at, each token once; empty without penalties.
  absl::Span<const TokenCount> counts = {};
  absl::Span<const TokenId> banned = {};  // never chosen
  // Log-probabilities of the chosen token and of so many likeliest, at most
  // kMaxLogprobs; 0: of none.
  int32_t logprobs = 0;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_SAMPLING_SAMPLE_ROW_H_
