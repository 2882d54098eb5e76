// Which tokens a sequence holds and how often: what the penalties look at.
#ifndef TLIN_ENGINE_TOKEN_COUNTS_H_
#define TLIN_ENGINE_TOKEN_COUNTS_H_

#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "engine/request.h"
#include "engine/token.h"

namespace tlin {

// True where any of the three penalties changes a logit.
bool HasPenalties(const Sampling& sampling);

// Empty, and free, for sequences without penalties. Engine thread only.
class TokenCounts {
 public:
  void AddPrompt(absl::Span<const TokenId> tokens);
  void AddGenerated(TokenId token) { ++generated_[token]; }

  // Of each token of the sequence: a repetition penalty p divides a positive
  // logit by p and multiplies any other; of each generated token, seen n times:
  // minus n * frequency_penalty, minus presence_penalty. Results stay finite.
  void Apply(const Sampling& sampling, absl::Span<float> logits) const;

 private:
  // Token -> times generated; 0: in the prompt only. At most vocab_size
  // entries.
  absl::flat_hash_map<TokenId, int32_t> generated_;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_TOKEN_COUNTS_H_
