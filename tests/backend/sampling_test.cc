// Every backend chooses the tokens that the sampler chooses, given the same
// logits: not nearly, but exactly.
#include <cmath>
#include <limits>
#include <vector>

#include "engine/sampling/sampler.h"
#include "tests/backend/backend_fixture.h"

namespace tlin {
namespace {

// A row's lists, which a SampleRow borrows.
struct RowLists {
  std::vector<TokenCount> counts;
  std::vector<TokenId> banned;
};

class SamplingTest : public BackendTest {
 protected:
  // A vocabulary's table with ties: a tenth of the tokens have another's row.
  void MakeTable(int32_t vocab) {
    Make(16, 2, 32, vocab);
    layer_ = MakeLayer();
    Matrix weight = RandomMatrix(vocab, n_embd(), 2.5, random_);
    for (int32_t i = 0; i < vocab; i += 10) {
      std::copy_n(weight.row(Below(vocab)), n_embd(), weight.row(i));
    }
    SetTable(weight);
  }
  void SetTable(const Matrix& weight) {
    const std::vector<float> floats = ToFloats(weight);
    const HostMatrix view = View(weight, floats);
    table_ = backend_->MakeLinear({&view, 1}, {}).value();
  }
  int32_t Below(int32_t limit) {
    return std::uniform_int_distribution<int32_t>(0, limit - 1)(random_);
  }

  Sampling RandomSampling(int32_t vocab) {
    static constexpr float kTemperatures[] = {0, 0.3f, 1, 1, 2.5f, 1e-5f};
    static constexpr float kTopP[] = {1, 1, 0.5f, 0.9f, 0.999f, 1e-6f};
    static constexpr float kMinP[] = {0, 0, 0, 0.02f, 1};
    Sampling sampling;
    sampling.temperature = kTemperatures[Below(6)];
    const int32_t top_k[] = {0, 0, 1, 7, 40, vocab / 2, vocab + 5};
    sampling.top_k = top_k[Below(7)];
    sampling.top_p = kTopP[Below(6)];
    sampling.min_p = kMinP[Below(5)];
    sampling.seed = random_();
    return sampling;
  }
  // Lists of tokens, without repetition.
  RowLists RandomLists(int32_t vocab, Sampling* sampling) {
    RowLists lists;
    if (Below(2) == 0) {
      sampling->repetition_penalty = 1.3f;
      sampling->frequency_penalty = 0.2f;
      sampling->presence_penalty = -0.4f;
      for (int32_t id = Below(5); id < vocab; id += 1 + Below(9)) {
        lists.counts.push_back({id, Below(4)});
      }
    }
    for (int32_t i = Below(3); i > 0; --i) {
      lists.banned.push_back(vocab / 3 * i - 1);
    }
    return lists;
  }

  // Logits of the rows of x, and what the sampler says of them.
  std::vector<SampledToken> Expected(const DeviceRows& x,
                                     const std::vector<int32_t>& indices,
                                     const std::vector<SampleRow>& samples) {
    const auto vocab = static_cast<size_t>(backend_->shape().vocab_size);
    std::vector<float> logits(indices.size() * vocab);
    backend_->ComputeLogits(*layer_.device.norm1, *table_, x.rows(), indices,
                            logits.data());
    EXPECT_TRUE(backend_->Synchronize().ok());
    Sampler sampler(backend_->shape().vocab_size);
    std::vector<SampledToken> expected(samples.size());
    for (size_t i = 0; i < samples.size(); ++i) {
      sampler.Sample(absl::MakeConstSpan(logits).subspan(i * vocab, vocab),
                     samples[i], &expected[i]);
    }
    return expected;
  }

  void ExpectTheSamplers(const DeviceRows& x,
                         const std::vector<int32_t>& indices,
                         const std::vector<SampleRow>& samples) {
    const std::vector<SampledToken> expected = Expected(x, indices, samples);
    std::vector<SampledToken> tokens(samples.size());
    backend_->SampleTokens(*layer_.device.norm1, *table_, x.rows(), indices,
                           samples, tokens.data());
    ASSERT_TRUE(backend_->Synchronize().ok());
    for (size_t i = 0; i < tokens.size(); ++i) {
      const Sampling& how = samples[i].sampling;
      SCOPED_TRACE(testing::Message()
                   << "row " << i << " temperature " << how.temperature
                   << " top_k " << how.top_k << " top_p " << how.top_p
                   << " min_p " << how.min_p << " counts "
                   << samples[i].counts.size());
      ASSERT_EQ(tokens[i].problem, expected[i].problem);
      if (tokens[i].problem != SampledToken::Problem::kNone) continue;
      ASSERT_EQ(tokens[i].token, expected[i].token);
      ASSERT_EQ(tokens[i].rank, expected[i].rank);
      ASSERT_EQ(tokens[i].candidates, expected[i].candidates);
      if (tokens[i].rank == 0) continue;
      ASSERT_NEAR(tokens[i].logprob, expected[i].logprob, 1e-5);
      for (int32_t j = 0; j < tokens[i].candidates; ++j) {
        ASSERT_EQ(tokens[i].top[j].token_id, expected[i].top[j].token_id) << j;
        ASSERT_NEAR(tokens[i].top[j].logprob, expected[i].top[j].logprob, 1e-5);
      }
    }
  }

  TestLayer layer_;
  std::unique_ptr<Linear> table_;
};

TEST_P(SamplingTest, TokensAreTheSamplers) {
  constexpr int32_t kRows = 40;
  for (const int32_t vocab : {1, 33, 700, 5000}) {
    MakeTable(vocab);
    const DeviceRows x = Upload(Random(kRows, 3.0));
    std::vector<RowLists> lists;
    std::vector<SampleRow> samples;
    std::vector<int32_t> indices;
    lists.reserve(kRows);
    static constexpr int32_t kLogprobs[] = {0, 0, 1, 5, kMaxLogprobs};
    for (int32_t i = 0; i < kRows; ++i) {
      indices.push_back(kRows - 1 - i);
      SampleRow& sample = samples.emplace_back();
      sample.sampling = RandomSampling(vocab);
      if (vocab > 1) {
        lists.push_back(RandomLists(vocab, &sample.sampling));
        sample.counts = lists.back().counts;
        sample.banned = lists.back().banned;
      }
      sample.position = Below(1'000'000);
      sample.logprobs = kLogprobs[Below(5)];
    }
    ExpectTheSamplers(x, indices, samples);
  }
}

// Each of many draws from one row: the walk ends everywhere.
TEST_P(SamplingTest, DrawsEndWhereTheSamplersDo) {
  constexpr int32_t kDraws = 300;
  MakeTable(90);
  const DeviceRows x = Upload(Random(1));
  std::vector<SampleRow> samples(kDraws);
  for (int32_t i = 0; i < kDraws; ++i) {
    samples[static_cast<size_t>(i)].position = i;
    samples[static_cast<size_t>(i)].sampling.top_p = i % 2 == 0 ? 1.0f : 0.8f;
  }
  for (int32_t first = 0; first < kDraws; first += 50) {
    ExpectTheSamplers(x, std::vector<int32_t>(50, 0),
                      {samples.begin() + first, samples.begin() + first + 50});
  }
}

TEST_P(SamplingTest, WhatCannotBeChosenFromIsTold) {
  MakeTable(64);
  const DeviceRows x = Upload(Random(2));
  std::vector<TokenId> all(64);
  for (int32_t i = 0; i < 64; ++i) all[static_cast<size_t>(i)] = i;
  std::vector<SampleRow> samples(2);
  samples[0].banned = all;
  ExpectTheSamplers(x, {0, 1}, samples);
  for (const double bad : {std::numeric_limits<double>::infinity(),
                           -std::numeric_limits<double>::infinity(),
                           std::numeric_limits<double>::quiet_NaN()}) {
    Matrix weight = RandomMatrix(64, n_embd(), 1, random_);
    weight.row(63)[3] = bad;
    SetTable(weight);
    std::vector<SampledToken> tokens(2);
    const std::vector<int32_t> rows = {0, 1};
    backend_->SampleTokens(*layer_.device.norm1, *table_, x.rows(), rows,
                           samples, tokens.data());
    ASSERT_TRUE(backend_->Synchronize().ok());
    EXPECT_EQ(tokens[0].problem, SampledToken::Problem::kNotFinite);
    EXPECT_EQ(tokens[1].problem, SampledToken::Problem::kNotFinite);
  }
}

// Lists of penalties that are together more than the device takes at once.
TEST_P(SamplingTest, LongListsOfPenalties) {
  constexpr int32_t kRows = 60;
  constexpr int32_t kVocab = 6001;  // odd: each list is rounded up
  const std::vector<TokenId> banned = {17};
  MakeTable(kVocab);
  const DeviceRows x = Upload(Random(kRows));
  std::vector<TokenCount> counts;
  for (int32_t id = 0; id < kVocab; ++id) counts.push_back({id, id % 3});
  std::vector<SampleRow> samples(kRows);
  std::vector<int32_t> indices;
  for (int32_t i = 0; i < kRows; ++i) {
    SampleRow& sample = samples[static_cast<size_t>(i)];
    sample.sampling.frequency_penalty = 0.5f;
    sample.sampling.temperature = i % 2 == 0 ? 0.0f : 1.0f;
    sample.position = i;
    sample.counts = counts;
    sample.banned = banned;
    indices.push_back(i);
  }
  ExpectTheSamplers(x, indices, samples);
}

INSTANTIATE_TEST_SUITE_P(Backends, SamplingTest, testing::ValuesIn(Backends()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace tlin
