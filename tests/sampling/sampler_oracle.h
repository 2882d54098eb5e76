// The sampler's distribution, written the slow and obvious way in double.
#ifndef TLIN_TESTS_SAMPLING_SAMPLER_ORACLE_H_
#define TLIN_TESTS_SAMPLING_SAMPLER_ORACLE_H_

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <vector>

#include "engine/request.h"
#include "engine/token.h"

namespace tlin {

// Probability of each token; `prompt` and `generated` are what the penalties
// see.
inline std::vector<double> OracleDistribution(
    std::vector<double> logits, const Sampling& sampling,
    const std::vector<TokenId>& prompt = {},
    const std::vector<TokenId>& generated = {},
    const std::vector<TokenId>& banned = {}) {
  std::map<TokenId, int> seen;
  for (TokenId token : prompt) seen[token] += 0;
  for (TokenId token : generated) seen[token] += 1;
  for (const auto& [token, times] : seen) {
    double& x = logits[token];
    x = x > 0 ? x / sampling.repetition_penalty
              : x * sampling.repetition_penalty;
    x -= sampling.frequency_penalty * times;
    if (times > 0) x -= sampling.presence_penalty;
  }
  std::vector<int> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  for (TokenId token : banned) logits[token] = -INFINITY;
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return logits[a] > logits[b]; });
  std::vector<double> p(logits.size(), 0.0);
  if (sampling.temperature == 0) {
    p[order[0]] = 1;
    return p;
  }
  size_t kept = order.size();
  if (sampling.top_k > 0) kept = std::min<size_t>(kept, sampling.top_k);
  const double max = logits[order[0]];
  double total = 0;
  for (size_t i = 0; i < kept; ++i) {
    p[order[i]] = std::exp((logits[order[i]] - max) / sampling.temperature);
    total += p[order[i]];
  }
  double mass = 0;
  for (size_t i = 0; i < kept; ++i) {
    if (sampling.top_p < 1 && mass >= sampling.top_p * total) {
      p[order[i]] = 0;
      continue;
    }
    mass += p[order[i]];
    if (p[order[i]] < sampling.min_p) p[order[i]] = 0;
  }
  const double sum = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& x : p) x /= sum;
  return p;
}

}  // namespace tlin

#endif  // TLIN_TESTS_SAMPLING_SAMPLER_ORACLE_H_
