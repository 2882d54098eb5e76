#include "engine/sampling/logit_math.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "engine/base/check.h"
#include "engine/sampling/sampling_math.h"

namespace tlin {
namespace {

// Independent partial results of a pass, so that the compiler can use vectors
// and the order of additions is ours.
constexpr size_t kLanes = 16;
using Lanes = std::array<float, kLanes>;

// Weights summed by one float accumulation a lane; blocks are summed in double.
constexpr size_t kBlock = 1024;

// Candidates that are sorted at once where a selection has come this near.
constexpr size_t kFewChoices = 32;

template <typename T>
double SumLanes(const std::array<T, kLanes>& lanes) {
  double sum = 0.0;
  for (T lane : lanes) sum += lane;
  return sum;
}

// Sum of at most kBlock values of f(i), f being called for i = 0 ... size - 1.
template <typename F>
double SumBlock(size_t size, F f) {
  Lanes lanes{};
  const size_t whole = size - size % kLanes;
  for (size_t i = 0; i < whole; i += kLanes) {
    for (size_t j = 0; j < kLanes; ++j) lanes[j] += f(i + j);
  }
  for (size_t i = whole; i < size; ++i) lanes[i - whole] += f(i);
  return SumLanes(lanes);
}

// The same of any size, block by block.
template <typename F>
double SumBlocks(size_t size, F f) {
  double sum = 0.0;
  for (size_t begin = 0; begin < size; begin += kBlock) {
    sum += SumBlock(std::min(kBlock, size - begin),
                    [&](size_t i) { return f(begin + i); });
  }
  return sum;
}

// Of SampleWeights: exact.
double SumWeights(absl::Span<const float> weights) {
  std::array<double, kLanes> lanes{};
  const float* w = weights.data();
  const size_t whole = weights.size() - weights.size() % kLanes;
  for (size_t i = 0; i < whole; i += kLanes) {
    for (size_t j = 0; j < kLanes; ++j) lanes[j] += w[i + j];
  }
  for (size_t i = whole; i < weights.size(); ++i) lanes[0] += w[i];
  return SumLanes(lanes);
}

// The first token from `begin` on at which `sum`, that of the weights before
// it, passes `target`; else the last one of its block that has a weight.
TokenId WalkBlock(absl::Span<const float> weights, size_t begin, double sum,
                  double target) {
  size_t last = begin;
  const size_t end = std::min(weights.size(), begin + kBlock);
  for (size_t i = begin; i < end && sum <= target; ++i) {
    if (weights[i] == 0.0f) continue;
    last = i;
    sum += weights[i];
  }
  return static_cast<TokenId>(last);
}

}  // namespace

LogitMax FindMax(absl::Span<const float> logits) {
  Lanes max, zero{};
  max.fill(-std::numeric_limits<float>::infinity());
  const float* x = logits.data();
  const size_t whole = logits.size() - logits.size() % kLanes;
  for (size_t i = 0; i < whole; i += kLanes) {
    for (size_t j = 0; j < kLanes; ++j) {
      max[j] = x[i + j] > max[j] ? x[i + j] : max[j];
      zero[j] += x[i + j] * 0.0f;  // NaN for infinities and NaN
    }
  }
  for (size_t i = whole; i < logits.size(); ++i) {
    max[0] = x[i] > max[0] ? x[i] : max[0];
    zero[0] += x[i] * 0.0f;
  }
  return {*std::max_element(max.begin(), max.end()), SumLanes(zero) == 0.0};
}

TokenId FirstEqual(absl::Span<const float> logits, float value) {
  const auto it = std::find(logits.begin(), logits.end(), value);
  TLIN_CHECK(it != logits.end());
  return static_cast<TokenId>(it - logits.begin());
}

double ExpWeights(absl::Span<const float> logits, float max, float scale,
                  absl::Span<float> weights) {
  const float* x = logits.data();
  float* w = weights.data();
  for (size_t i = 0; i < logits.size(); ++i) {
    w[i] = SampleWeight(x[i], max, scale);
  }
  return SumWeights(weights);
}

double SumExp(absl::Span<const float> logits, float max) {
  const float* x = logits.data();
  return SumBlocks(logits.size(),
                   [x, max](size_t i) { return ExpNegative(x[i] - max); });
}

TokenId WalkWeights(absl::Span<const float> weights, double u) {
  const double target = u * SumWeights(weights);
  double sum = 0.0;
  size_t last = 0;  // block with a weight: where u * total rounds to the total
  for (size_t begin = 0; begin < weights.size(); begin += kBlock) {
    const auto block = weights.subspan(begin, kBlock);
    const double more = SumWeights(block);
    if (more > 0.0) last = begin;
    if (sum + more > target) return WalkBlock(weights, begin, sum, target);
    sum += more;
  }
  return WalkBlock(weights, last, 0.0, std::numeric_limits<double>::max());
}

void SelectTop(absl::Span<const float> logits, int32_t k,
               std::vector<Choice>* choices) {
  choices->clear();
  const size_t wanted = static_cast<size_t>(std::max(k, 0));
  const size_t first = std::min(wanted, logits.size());
  for (size_t i = 0; i < first; ++i) {
    choices->push_back({logits[i], 0.0f, static_cast<TokenId>(i)});
  }
  if (choices->empty()) return;
  // A heap whose front is the least likely of the best so far. Ids rise, so an
  // equal logit never displaces one that is there.
  std::make_heap(choices->begin(), choices->end(), Likelier);
  float bar = choices->front().logit;
  for (size_t i = first; i < logits.size(); ++i) {
    if (!(logits[i] > bar)) continue;
    std::pop_heap(choices->begin(), choices->end(), Likelier);
    choices->back() = {logits[i], 0.0f, static_cast<TokenId>(i)};
    std::push_heap(choices->begin(), choices->end(), Likelier);
    bar = choices->front().logit;
  }
}

void KeepTop(int32_t k, std::vector<Choice>* choices) {
  if (choices->size() <= static_cast<size_t>(k)) return;
  std::nth_element(choices->begin(), choices->begin() + (k - 1), choices->end(),
                   Likelier);
  choices->resize(static_cast<size_t>(k));
}

void KeepMass(double mass, std::vector<Choice>* choices) {
  // The first `low` are kept and weigh `kept`; the answer ends in (low, high].
  size_t low = 0, high = choices->size();
  double kept = 0.0;
  const auto begin = choices->begin();
  const auto at = [begin](size_t i) {
    return begin + static_cast<std::ptrdiff_t>(i);
  };
  while (high - low > kFewChoices) {
    const size_t middle = low + (high - low) / 2;
    std::nth_element(at(low), at(middle), at(high), Likelier);
    double half = 0.0;
    for (size_t i = low; i < middle; ++i) half += (*choices)[i].weight;
    if (kept + half >= mass) {
      high = middle;
    } else {
      kept += half;
      low = middle;
    }
  }
  std::sort(at(low), at(high), Likelier);
  while (low < high && kept < mass) kept += (*choices)[low++].weight;
  choices->resize(std::max<size_t>(low, 1));
}

}  // namespace tlin
