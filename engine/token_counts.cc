#include "engine/token_counts.h"

#include <algorithm>

namespace tlin {
namespace {

// Far beyond any model's logit, and far from infinity.
constexpr float kLargestLogit = 1e30f;

}  // namespace

bool HasPenalties(const Sampling& sampling) {
  return sampling.repetition_penalty != 1.0f ||
         sampling.frequency_penalty != 0.0f ||
         sampling.presence_penalty != 0.0f;
}

void TokenCounts::AddPrompt(absl::Span<const TokenId> tokens) {
  for (TokenId token : tokens) generated_.try_emplace(token, 0);
}

void TokenCounts::Apply(const Sampling& sampling,
                        absl::Span<float> logits) const {
  for (const auto& [token, times] : generated_) {
    float& logit = logits[static_cast<size_t>(token)];
    logit = logit > 0 ? logit / sampling.repetition_penalty
                      : logit * sampling.repetition_penalty;
    if (times > 0) {
      logit -= sampling.frequency_penalty * static_cast<float>(times) +
               sampling.presence_penalty;
    }
    logit = std::clamp(logit, -kLargestLogit, kLargestLogit);
  }
}

}  // namespace tlin
