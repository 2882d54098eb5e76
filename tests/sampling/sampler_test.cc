#include "engine/sampling/sampler.h"

#include <cmath>
#include <limits>
#include <random>

#include "engine/sampling/random.h"
#include "engine/sampling/sampling_math.h"
#include "engine/sampling/token_counts.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/sampling/sampler_oracle.h"

namespace tlin {
namespace {

std::vector<float> RandomLogits(int32_t vocab, uint64_t seed,
                                float spread = 4) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> logits(static_cast<size_t>(vocab));
  for (float& logit : logits) logit = normal(random);
  return logits;
}

using Problem = SampledToken::Problem;

SampledToken SampleRowOf(Sampler* sampler, const std::vector<float>& logits,
                         const SampleRow& row) {
  SampledToken sampled;
  sampler->Sample(logits, row, &sampled);
  return sampled;
}

TokenId Sample(Sampler* sampler, const std::vector<float>& logits,
               const Sampling& sampling, int64_t position = 0) {
  const SampledToken sampled =
      SampleRowOf(sampler, logits, {sampling, position});
  EXPECT_EQ(sampled.problem, Problem::kNone);
  return sampled.token;
}

TEST(RandomTest, IsUniformAndEveryPositionDiffers) {
  constexpr int kBins = 64, kDraws = 64000;
  for (uint64_t seed : {uint64_t{0}, uint64_t{1}, ~uint64_t{0}}) {
    std::vector<int> bins(kBins);
    for (int i = 0; i < kDraws; ++i) {
      const double u = UniformAt(seed, i);
      ASSERT_TRUE(u >= 0 && u < 1);
      ++bins[static_cast<size_t>(u * kBins)];
    }
    double chi = 0;
    for (int n : bins) chi += (n - 1000.0) * (n - 1000.0) / 1000.0;
    EXPECT_LT(chi, 117);  // 63 degrees, p = 4e-5
  }
  EXPECT_NE(UniformAt(1, 0), UniformAt(2, 0));
  // What a device must compute too.
  EXPECT_EQ(UniformAt(0, 0),
            static_cast<double>(0xE220A8397B1DCDAFu >> 11) * 0x1p-53);
}

TEST(LogitMathTest, WeightsAreTheExponentialEverywhere) {
  std::vector<float> logits;
  for (float x = 0; x > -86.9f; x -= 0.0137f) logits.push_back(x);
  std::vector<float> weights(logits.size());
  const double sum = ExpWeights(logits, 0, 1, absl::MakeSpan(weights));
  double expected = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double exact = std::exp(static_cast<double>(logits[i]));
    // In steps of 2^-33.
    ASSERT_NEAR(weights[i], exact, 3e-7 * exact + 0x1p-34) << logits[i];
    ASSERT_EQ(std::floor(weights[i] * kWeightSteps), weights[i] * kWeightSteps);
    expected += exact;
  }
  EXPECT_NEAR(sum / expected, 1, 1e-6);
  EXPECT_NEAR(SumExp(logits, 0) / expected, 1, 1e-6);
  const float far[] = {0, -88, -1e30f, -std::numeric_limits<float>::infinity()};
  float w[4];
  ExpWeights(far, 0, 1, absl::MakeSpan(w));
  EXPECT_THAT(w, ::testing::ElementsAre(1, 0, 0, 0));
}

TEST(SamplerTest, GreedyTakesTheLowestIdOfEquals) {
  Sampler sampler(5);
  Sampling greedy;
  greedy.temperature = 0;
  EXPECT_EQ(Sample(&sampler, {1, 7, 3, 7, 7}, greedy), 1);
  EXPECT_EQ(Sample(&sampler, {2, 2, 2, 2, 2}, greedy), 0);
  EXPECT_EQ(Sample(&sampler, {-9, -8, -7, -6, -5}, greedy), 4);
}

TEST(SamplerTest, LogitsThatAreNotFiniteAreAnErrorWhereverTheyStand) {
  for (int32_t vocab : {1, 3, 16, 17, 33}) {
    Sampler sampler(vocab);
    for (int32_t at = 0; at < vocab; ++at) {
      for (float bad : {std::numeric_limits<float>::quiet_NaN(),
                        std::numeric_limits<float>::infinity(),
                        -std::numeric_limits<float>::infinity()}) {
        for (float temperature : {0.0f, 1.0f}) {
          std::vector<float> logits(static_cast<size_t>(vocab), 1.0f);
          logits[static_cast<size_t>(at)] = bad;
          Sampling sampling;
          sampling.temperature = temperature;
          EXPECT_EQ(SampleRowOf(&sampler, logits, {sampling}).problem,
                    Problem::kNotFinite);
          SampledToken scored;
          sampler.Score(logits, 0, 1, &scored);
          EXPECT_EQ(scored.problem, Problem::kNotFinite);
        }
      }
    }
  }
}

TEST(SamplerTest, BannedTokensAreNeverChosen) {
  Sampler sampler(4);
  const std::vector<TokenId> banned = {0, 2};
  for (int i = 0; i < 1000; ++i) {
    Sampling sampling;
    sampling.temperature = i % 5;
    sampling.top_k = i % 4;
    sampling.top_p = i % 2 == 0 ? 1.0f : 0.9f;
    const SampledToken sampled =
        SampleRowOf(&sampler, {9, 1, 9, 1}, {sampling, i, {}, banned});
    ASSERT_EQ(sampled.problem, Problem::kNone);
    ASSERT_TRUE(sampled.token == 1 || sampled.token == 3);
  }
  const std::vector<TokenId> all = {0, 1, 2, 3};
  EXPECT_EQ(SampleRowOf(&sampler, {9, 1, 9, 1}, {{}, 0, {}, all}).problem,
            Problem::kNoneLeft);
}

TEST(SamplerTest, ExtremesStayDefined) {
  Sampler sampler(3);
  for (float temperature : {1e-30f, 1e-5f, 100.0f}) {
    for (float top : {3e38f, 0.0f, -3e38f}) {
      Sampling sampling;
      sampling.temperature = temperature;
      sampling.min_p = 1e-30f;
      sampling.repetition_penalty = 100;
      const TokenId token = Sample(&sampler, {top, -3e38f, -3e38f}, sampling);
      EXPECT_TRUE(token >= 0 && token < 3);
    }
  }
}

// Draws, and holds them against the oracle's distribution.
struct Case {
  const char* name;
  Sampling sampling;
  int32_t vocab = 40;
};

class DistributionTest : public ::testing::TestWithParam<Case> {};

TEST_P(DistributionTest, AgreesWithTheOracle) {
  const int kDraws = GetParam().vocab > 1000 ? 5000 : 20000;
  const Case& c = GetParam();
  const std::vector<TokenId> prompt = {1, 2, 3}, generated = {3, 4, 4, 4};
  TokenCounts counts;
  counts.AddPrompt(prompt);
  for (TokenId token : generated) counts.AddGenerated(token);
  Sampler sampler(c.vocab);
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    const std::vector<float> logits = RandomLogits(c.vocab, seed, 1.5f);
    const std::vector<double> p =
        OracleDistribution(std::vector<double>(logits.begin(), logits.end()),
                           c.sampling, prompt, generated);
    std::vector<int> drawn(p.size());
    Sampling sampling = c.sampling;
    sampling.seed = seed;
    for (int i = 0; i < kDraws; ++i) {
      const SampledToken sampled =
          SampleRowOf(&sampler, logits, {sampling, i, counts.counts()});
      ASSERT_EQ(sampled.problem, Problem::kNone);
      ++drawn[static_cast<size_t>(sampled.token)];
    }
    double chi = 0, rare = 0, rare_drawn = 0;
    int degrees = -1;
    for (size_t i = 0; i < p.size(); ++i) {
      ASSERT_TRUE(p[i] > 0 || drawn[i] == 0) << "a filtered token: " << i;
      const double expected = p[i] * kDraws;
      if (expected < 5) {  // too few for the statistic: taken together
        rare += expected;
        rare_drawn += drawn[i];
        continue;
      }
      chi += (drawn[i] - expected) * (drawn[i] - expected) / expected;
      ++degrees;
    }
    EXPECT_LE(std::abs(rare_drawn - rare), 5 * std::sqrt(rare + 1));
    // Mean and four standard deviations of chi-square.
    EXPECT_LE(chi, degrees + 4 * std::sqrt(2.0 * std::max(degrees, 1)) + 4)
        << degrees << " degrees";
  }
}

Sampling With(void (*change)(Sampling*)) {
  Sampling sampling;
  change(&sampling);
  return sampling;
}

INSTANTIATE_TEST_SUITE_P(
    Filters, DistributionTest,
    ::testing::Values(
        Case{"plain", Sampling()},
        Case{"hot", With([](Sampling* s) { s->temperature = 2.5f; })},
        Case{"cold", With([](Sampling* s) { s->temperature = 0.3f; })},
        Case{"greedy", With([](Sampling* s) { s->temperature = 0; })},
        Case{"top_k", With([](Sampling* s) { s->top_k = 7; })},
        Case{"top_1", With([](Sampling* s) { s->top_k = 1; })},
        Case{"top_k_beyond", With([](Sampling* s) { s->top_k = 500; })},
        Case{"top_p", With([](Sampling* s) { s->top_p = 0.8f; })},
        Case{"top_p_tiny", With([](Sampling* s) { s->top_p = 1e-6f; })},
        Case{"min_p", With([](Sampling* s) { s->min_p = 0.1f; })},
        Case{"min_p_one", With([](Sampling* s) { s->min_p = 1.0f; })},
        Case{"repetition",
             With([](Sampling* s) { s->repetition_penalty = 1.8f; })},
        Case{"frequency",
             With([](Sampling* s) { s->frequency_penalty = 0.7f; })},
        Case{"presence",
             With([](Sampling* s) { s->presence_penalty = -1.5f; })},
        Case{"all", With([](Sampling* s) {
               s->temperature = 0.8f;
               s->top_k = 20;
               s->top_p = 0.9f;
               s->min_p = 0.05f;
               s->repetition_penalty = 1.2f;
               s->frequency_penalty = 0.2f;
               s->presence_penalty = 0.3f;
             })},
        Case{"wide_top_p", With([](Sampling* s) { s->top_p = 0.97f; }), 3000},
        Case{"wide_top_k", With([](Sampling* s) { s->top_k = 1200; }), 1500},
        Case{"wide_min_p", With([](Sampling* s) { s->min_p = 0.0107f; }),
             3000}),
    [](const auto& info) { return std::string(info.param.name); });

// The kept set itself, token by token, where draws would be too coarse.
TEST(SamplerTest, KeepsWhatTheOracleKeeps) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 300; ++round) {
    const int32_t vocab = 2 + static_cast<int32_t>(random() % 3000);
    std::vector<float> logits = RandomLogits(vocab, random(), 3);
    // Ties.
    for (float& x : logits) x = std::round(x * 8) / 8;
    std::vector<Choice> choices;
    const int32_t k = 1 + static_cast<int32_t>(random() % vocab);
    SelectTop(logits, k, &choices);
    std::vector<Choice> all;
    for (int32_t i = 0; i < vocab; ++i) {
      all.push_back({logits[i], std::exp(logits[i]), i});
    }
    std::vector<Choice> sorted = all, kept = all;
    std::sort(sorted.begin(), sorted.end(), Likelier);
    std::sort(choices.begin(), choices.end(), Likelier);
    ASSERT_EQ(choices.size(), static_cast<size_t>(k));
    for (int32_t i = 0; i < k; ++i) ASSERT_EQ(choices[i].id, sorted[i].id);
    KeepTop(k, &kept);
    std::sort(kept.begin(), kept.end(), Likelier);
    for (int32_t i = 0; i < k; ++i) ASSERT_EQ(kept[i].id, sorted[i].id);

    double total = 0;
    for (const Choice& choice : all) total += choice.weight;
    const double mass = total * static_cast<double>(random() % 1000) / 1000;
    std::vector<Choice> nucleus = all;
    KeepMass(mass, &nucleus);
    double sum = 0;
    size_t expected = 0;
    while (expected < sorted.size() && sum < mass) {
      sum += sorted[expected++].weight;
    }
    ASSERT_NEAR(static_cast<double>(nucleus.size()),
                static_cast<double>(std::max<size_t>(expected, 1)), 1)
        << "rounding may move the border by one";
  }
}

// What lets another device add in another order and choose the same token.
TEST(SamplerTest, SumsOfWeightsDoNotDependOnTheOrder) {
  std::vector<float> logits = RandomLogits(50257, 17, 6);
  std::vector<float> weights(logits.size());
  const double max = FindMax(logits).value;
  const double sum = ExpWeights(logits, static_cast<float>(max), 0.7f,
                                absl::MakeSpan(weights));
  uint64_t steps = 0;
  for (float w : weights) steps += static_cast<uint64_t>(w * kWeightSteps);
  EXPECT_EQ(static_cast<double>(steps), sum * kWeightSteps);
  std::sort(weights.begin(), weights.end());
  double sorted = 0;
  for (float w : weights) sorted += w;
  EXPECT_EQ(sorted, sum);
}

TEST(SamplerTest, ASeedGivesTheSameTokenWhateverCameBefore) {
  const std::vector<float> logits = RandomLogits(1000, 3);
  Sampler fresh(1000), used(1000);
  for (int i = 0; i < 200; ++i) {
    Sampling other;
    other.seed = static_cast<uint64_t>(i) * 77;
    other.top_p = 0.5f;
    Sample(&used, RandomLogits(1000, 9), other, i);
    Sampling sampling;
    sampling.seed = 42;
    sampling.top_p = i % 2 == 0 ? 1.0f : 0.95f;
    EXPECT_EQ(Sample(&fresh, logits, sampling, i),
              Sample(&used, logits, sampling, i));
  }
}

TEST(SamplerTest, LogprobsAreOfTheModelsDistribution) {
  for (int32_t vocab : {1, 2, 17, 5000}) {
    const std::vector<float> logits = RandomLogits(vocab, 11);
    const std::vector<double> p = OracleDistribution(
        std::vector<double>(logits.begin(), logits.end()), Sampling());
    Sampler sampler(vocab);
    for (TokenId token = 0; token < vocab; token += 1 + vocab / 20) {
      SampledToken out;
      sampler.Score(logits, token, 128, &out);
      EXPECT_EQ(out.problem, Problem::kNone);
      EXPECT_EQ(out.token, token);
      EXPECT_NEAR(out.logprob, std::log(p[token]), 1e-4);
      int32_t rank = 1;
      for (size_t i = 0; i < p.size(); ++i) {
        rank += logits[i] > logits[token] ||
                (logits[i] == logits[token] && static_cast<TokenId>(i) < token);
      }
      EXPECT_EQ(out.rank, rank);
      ASSERT_EQ(out.candidates, std::min(vocab, 128));
      for (int32_t i = 0; i < out.candidates; ++i) {
        const int32_t before = i == 0 ? 0 : i - 1;
        EXPECT_LE(out.top[i].logprob, out.top[before].logprob);
        EXPECT_NEAR(out.top[i].logprob, std::log(p[out.top[i].token_id]), 1e-4);
      }
      if (rank <= 128) {
        EXPECT_EQ(out.top[rank - 1].token_id, token);
      }
    }
  }
}

}  // namespace
}  // namespace tlin
