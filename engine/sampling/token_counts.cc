#include "engine/sampling/token_counts.h"

namespace tlin {

bool HasPenalties(const Sampling& sampling) {
  return sampling.repetition_penalty != 1.0f ||
         sampling.frequency_penalty != 0.0f ||
         sampling.presence_penalty != 0.0f;
}

TokenCount& TokenCounts::Find(TokenId token) {
  const auto [place, added] = places_.try_emplace(token, counts_.size());
  if (added) counts_.push_back({token, 0});
  return counts_[place->second];
}

void TokenCounts::AddPrompt(absl::Span<const TokenId> tokens) {
  for (TokenId token : tokens) Find(token);
}

void TokenCounts::AddGenerated(TokenId token) { ++Find(token).times; }

}  // namespace tlin
