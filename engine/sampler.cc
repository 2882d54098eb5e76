#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/base/check.h"
#include "engine/random.h"

namespace tlin {
namespace {

// Up to this many the k likeliest are kept in a heap while the row is read
// once.
constexpr int32_t kHeapTop = 1024;
// Up to this many choices are sorted by id; more are spread over the row.
constexpr size_t kSortedChoices = 2048;

absl::Status NotFinite() {
  return absl::InternalError("the model's logits are not finite");
}

}  // namespace

Sampler::Sampler(int32_t vocab_size)
    : vocab_size_(static_cast<size_t>(vocab_size)),
      adjusted_(vocab_size_),
      weights_(vocab_size_) {
  TLIN_CHECK(vocab_size > 0);
  choices_.reserve(vocab_size_);
}

absl::StatusOr<TokenId> Sampler::Sample(absl::Span<const float> logits,
                                        const Sampling& sampling,
                                        const TokenCounts& counts,
                                        absl::Span<const TokenId> banned,
                                        int64_t position) {
  TLIN_CHECK(logits.size() == vocab_size_);
  LogitMax max = FindMax(logits);
  if (!max.finite) return NotFinite();
  if (HasPenalties(sampling) || !banned.empty()) {
    std::copy(logits.begin(), logits.end(), adjusted_.begin());
    counts.Apply(sampling, absl::MakeSpan(adjusted_));
    for (TokenId token : banned) {
      adjusted_[static_cast<size_t>(token)] =
          -std::numeric_limits<float>::infinity();
    }
    logits = adjusted_;
    max = FindMax(logits);
    if (!std::isfinite(max.value)) {
      return absl::InternalError("no token is left to choose from");
    }
  }
  if (sampling.temperature < kGreedyTemperature) {
    return FirstEqual(logits, max.value);
  }
  const double u = UniformAt(sampling.seed, position);
  if (sampling.top_k > 0 || sampling.top_p < 1.0f || sampling.min_p > 0.0f) {
    return SampleFiltered(logits, max.value, sampling, u);
  }
  ExpWeights(logits, max.value, 1.0f / sampling.temperature,
             absl::MakeSpan(weights_));
  return WalkWeights(weights_, u);
}

TokenId Sampler::SampleFiltered(absl::Span<const float> logits, float max,
                                const Sampling& sampling, double u) {
  const double total = GatherChoices(logits, max, sampling);
  if (sampling.top_p < 1.0f) KeepMass(sampling.top_p * total, &choices_);
  if (sampling.min_p > 0.0f) {
    // The likeliest weighs 1.
    std::erase_if(choices_, [&sampling](const Choice& choice) {
      return choice.weight < sampling.min_p;
    });
  }
  return Draw(u);
}

double Sampler::GatherChoices(absl::Span<const float> logits, float max,
                              const Sampling& sampling) {
  const float scale = 1.0f / sampling.temperature;
  choices_.clear();
  if (sampling.top_k > 0 && sampling.top_k <= kHeapTop) {
    SelectTop(logits, sampling.top_k, &choices_);
    double total = 0.0;
    for (Choice& choice : choices_) {
      choice.weight = std::exp((choice.logit - max) * scale);
      total += choice.weight;
    }
    return total;
  }
  const double total = ExpWeights(logits, max, scale, absl::MakeSpan(weights_));
  // All tokens lighter than this together weigh less than what top_p leaves
  // out, so none of them can be kept. Where top_k cuts first, that does not
  // hold.
  float bar = sampling.min_p;
  if (sampling.top_k > 0) {
    bar = 0.0f;
  } else if (sampling.top_p < 1.0f) {
    bar = static_cast<float>((1.0 - sampling.top_p) * total /
                             static_cast<double>(vocab_size_));
  }
  for (size_t i = 0; i < vocab_size_; ++i) {
    if (weights_[i] < bar) continue;
    choices_.push_back({logits[i], weights_[i], static_cast<TokenId>(i)});
  }
  if (sampling.top_k == 0) return total;
  KeepTop(sampling.top_k, &choices_);
  double kept = 0.0;
  for (const Choice& choice : choices_) kept += choice.weight;
  return kept;
}

TokenId Sampler::Draw(double u) {
  if (choices_.size() > kSortedChoices) {
    std::fill(weights_.begin(), weights_.end(), 0.0f);
    for (const Choice& choice : choices_) {
      weights_[static_cast<size_t>(choice.id)] = choice.weight;
    }
    return WalkWeights(weights_, u);
  }
  std::sort(choices_.begin(), choices_.end(),
            [](const Choice& a, const Choice& b) { return a.id < b.id; });
  double total = 0.0;
  for (const Choice& choice : choices_) total += choice.weight;
  double sum = 0.0;
  TokenId last = choices_.front().id;
  for (const Choice& choice : choices_) {
    if (choice.weight == 0.0f) continue;
    last = choice.id;
    sum += choice.weight;
    if (sum > u * total) break;
  }
  return last;
}

absl::Status Sampler::Logprobs(absl::Span<const float> logits, TokenId token,
                               int32_t candidates, TokenLogprobs* out) {
  TLIN_CHECK(logits.size() == vocab_size_);
  const LogitMax max = FindMax(logits);
  if (!max.finite) return NotFinite();
  const double log_sum = max.value + std::log(SumExp(logits, max.value));
  const size_t index = static_cast<size_t>(token);
  const float logit = logits[index];
  int32_t before = 0;
  for (size_t i = 0; i < index; ++i) before += logits[i] >= logit;
  for (size_t i = index + 1; i < vocab_size_; ++i) before += logits[i] > logit;
  out->token_id = token;
  out->logprob = static_cast<float>(logit - log_sum);
  out->rank = before + 1;
  out->top.clear();
  if (candidates <= 0) return absl::OkStatus();
  SelectTop(logits, candidates, &choices_);
  std::sort(choices_.begin(), choices_.end(), Likelier);
  out->top.reserve(choices_.size());
  for (const Choice& choice : choices_) {
    out->top.push_back({choice.id, static_cast<float>(choice.logit - log_sum)});
  }
  return absl::OkStatus();
}

}  // namespace tlin
