// Which tokens a sequence holds and how often: what the penalties look at.
#ifndef TLIN_ENGINE_SAMPLING_TOKEN_COUNTS_H_
#define TLIN_ENGINE_SAMPLING_TOKEN_COUNTS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "engine/sampling/sampling.h"
#include "engine/token.h"

namespace tlin {

// True where any of the three penalties changes a logit.
bool HasPenalties(const Sampling& sampling);

// Empty, and free, for sequences without penalties. Engine thread only.
class TokenCounts {
 public:
  void AddPrompt(absl::Span<const TokenId> tokens);
  void AddGenerated(TokenId token);

  // Each token once, in order of appearance; at most vocab_size of them. Valid
  // until the next addition.
  absl::Span<const TokenCount> counts() const { return counts_; }

 private:
  TokenCount& Find(TokenId token);

  std::vector<TokenCount> counts_;
  absl::flat_hash_map<TokenId, size_t> places_;  // in counts_
};

}  // namespace tlin

#endif  // TLIN_ENGINE_SAMPLING_TOKEN_COUNTS_H_
