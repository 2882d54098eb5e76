#include "engine/sampling/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/base/check.h"
#include "engine/sampling/random.h"
#include "engine/sampling/sampling_math.h"

namespace tlin {
namespace {

// Up to this many the k likeliest are kept in a heap while the row is read
// once.
constexpr int32_t kHeapTop = 1024;
// Up to this many choices are sorted by id; more are spread over the row.
constexpr size_t kSortedChoices = 2048;

}  // namespace

Sampler::Sampler(int32_t vocab_size)
    : vocab_size_(static_cast<size_t>(vocab_size)),
      adjusted_(vocab_size_),
      weights_(vocab_size_) {
  TLIN_CHECK(vocab_size > 0);
  choices_.reserve(vocab_size_);
}

int64_t Sampler::bytes() const {
  return static_cast<int64_t>(vocab_size_ *
                              (2 * sizeof(float) + sizeof(Choice)));
}

void Sampler::Sample(absl::Span<const float> logits, const SampleRow& row,
                     SampledToken* out) {
  TLIN_CHECK(logits.size() == vocab_size_);
  out->problem = SampledToken::Problem::kNone;
  out->rank = 0;
  out->candidates = 0;
  const LogitMax model_max = FindMax(logits);
  if (!model_max.finite) {
    out->problem = SampledToken::Problem::kNotFinite;
    return;
  }
  if (row.counts.empty() && row.banned.empty()) {
    out->token = Choose(logits, model_max.value, row);
  } else {
    std::copy(logits.begin(), logits.end(), adjusted_.begin());
    for (const TokenCount& count : row.counts) {
      float& logit = adjusted_[static_cast<size_t>(count.token)];
      logit = Penalized(row.sampling, count.times, logit);
    }
    for (TokenId token : row.banned) {
      adjusted_[static_cast<size_t>(token)] =
          -std::numeric_limits<float>::infinity();
    }
    const float max = FindMax(adjusted_).value;
    if (!std::isfinite(max)) {
      out->problem = SampledToken::Problem::kNoneLeft;
      return;
    }
    out->token = Choose(adjusted_, max, row);
  }
  if (row.logprobs > 0) {
    AddLogprobs(logits, model_max.value, row.logprobs, out);
  }
}

void Sampler::Score(absl::Span<const float> logits, TokenId token,
                    int32_t candidates, SampledToken* out) {
  TLIN_CHECK(logits.size() == vocab_size_);
  const LogitMax max = FindMax(logits);
  out->problem = max.finite ? SampledToken::Problem::kNone
                            : SampledToken::Problem::kNotFinite;
  out->token = token;
  if (max.finite) AddLogprobs(logits, max.value, candidates, out);
}

TokenId Sampler::Choose(absl::Span<const float> logits, float max,
                        const SampleRow& row) {
  const Sampling& sampling = row.sampling;
  if (sampling.temperature < kGreedyTemperature) return FirstEqual(logits, max);
  const double u = UniformAt(sampling.seed, row.position);
  if (sampling.top_k > 0 || sampling.top_p < 1.0f || sampling.min_p > 0.0f) {
    return ChooseFiltered(logits, max, sampling, u);
  }
  ExpWeights(logits, max, 1.0f / sampling.temperature,
             absl::MakeSpan(weights_));
  return WalkWeights(weights_, u);
}

TokenId Sampler::ChooseFiltered(absl::Span<const float> logits, float max,
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
      choice.weight = SampleWeight(choice.logit, max, scale);
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
    // A little less: what is rounded here must not show in what is kept.
    bar = static_cast<float>(0.999 * (1.0 - sampling.top_p) * total /
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

void Sampler::AddLogprobs(absl::Span<const float> logits, float max,
                          int32_t candidates, SampledToken* out) {
  const double log_sum = max + std::log(SumExp(logits, max));
  const auto index = static_cast<size_t>(out->token);
  const float logit = logits[index];
  int32_t before = 0;
  for (size_t i = 0; i < index; ++i) before += logits[i] >= logit;
  for (size_t i = index + 1; i < vocab_size_; ++i) before += logits[i] > logit;
  out->logprob = static_cast<float>(logit - log_sum);
  out->rank = before + 1;
  SelectTop(logits, candidates, &choices_);
  std::sort(choices_.begin(), choices_.end(), Likelier);
  out->candidates = static_cast<int32_t>(choices_.size());
  for (size_t i = 0; i < choices_.size(); ++i) {
    out->top[i] = {choices_[i].id,
                   static_cast<float>(choices_[i].logit - log_sum)};
  }
}

}  // namespace tlin
