// What the papers' own reference computes, against this engine in f32.
// MODEL: "Goldens".
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <tuple>
#include <vector>

#include "engine/model/config.h"
#include "engine/model/safetensors.h"
#include "tests/testing/model_driver.h"
#include "tests/testing/seeded_weights.h"
#include "tests/testing/sha256.h"

namespace tlin {
namespace {

using Json = nlohmann::json;

Json ReadGolden(const std::string& name) {
  std::ifstream file(std::string(TLIN_SOURCE_DIR) + "/tests/goldens/" + name +
                     ".json");
  return Json::parse(file);
}

TokenId ArgMax(const std::vector<float>& logits) {
  return static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) -
                              logits.begin());
}

double LogSumExp(const std::vector<float>& logits) {
  const double most = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - most);
  return most + std::log(sum);
}

// A golden's name; whether the first block's history is derived.
using Golden = std::tuple<std::string, bool>;

class GoldenTest : public testing::TestWithParam<Golden> {
 protected:
  void SetUp() override {
    const auto& [name, derived] = GetParam();
    golden_ = ReadGolden(name);
    auto config = ParseModelConfig(golden_["config"].dump(), name);
    ASSERT_TRUE(config.ok()) << config.status();
    config_ = *config;
    config_.derived_history = derived;
    for (const Json& golden_case : golden_["cases"]) {
      longest_ = std::max(longest_, golden_case["n"].get<int64_t>());
    }
    ModelOptions options;
    options.slots = 1;
    options.max_context_tokens = longest_;
    options.history_tokens = longest_;
    options.max_syncs = 1;
    model_ = MakeSeededModel(config_, golden_["weights"]["seed"], options);
  }

  void ExpectLogits(const Json& golden_case,
                    const std::vector<float>& logits) const {
    const auto expected = golden_case["logits"].get<std::vector<double>>();
    double largest = 0;
    for (const double logit : expected) {
      largest = std::max(largest, std::abs(logit));
    }
    double worst = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      const size_t index = golden_case.contains("indices")
                               ? golden_case["indices"][i].get<size_t>()
                               : i;
      worst = std::max(worst, std::abs(logits[index] - expected[i]));
    }
    EXPECT_LE(worst, 1e-4 * largest) << "n = " << golden_case["n"];
    if (golden_case.contains("logsumexp")) {
      EXPECT_NEAR(LogSumExp(logits), golden_case["logsumexp"].get<double>(),
                  1e-4 * largest);
    }
  }

  Json golden_;
  ModelConfig config_;
  int64_t longest_ = 256;
  std::unique_ptr<Model> model_;
};

TEST_P(GoldenTest, WeightsAreTheGeneratorsOwn) {
  const SeededWeights seeded =
      MakeSeededWeights(config_, golden_["weights"]["seed"]);
  Sha256 sum;
  for (const auto& [name, tensor] : seeded.tensors) {
    int64_t count = 1;
    for (const int64_t dimension : tensor.shape) count *= dimension;
    sum.Update(name.data(), name.size());
    sum.Update(tensor.data, static_cast<size_t>(count) * sizeof(float));
  }
  EXPECT_EQ(sum.Finish(), golden_["weights"]["sha256"].get<std::string>());
}

TEST_P(GoldenTest, LogitsOfTheLastPosition) {
  for (const Json& golden_case : golden_["cases"]) {
    const int64_t n = golden_case["n"];
    SequenceDriver sequence(model_.get(), 0, n);
    ExpectLogits(golden_case,
                 sequence.Feed(SeededTokens(golden_case["token_seed"], n,
                                            config_.vocab_size)));
  }
}

TEST_P(GoldenTest, GreedyTokens) {
  if (!golden_.contains("greedy")) return;
  for (const Json& greedy : golden_["greedy"]) {
    const auto prompt = greedy["prompt"].get<std::vector<TokenId>>();
    const auto expected = greedy["tokens"].get<std::vector<TokenId>>();
    SequenceDriver sequence(
        model_.get(), 0, static_cast<int64_t>(prompt.size() + expected.size()));
    std::vector<TokenId> tokens = {ArgMax(sequence.Feed(prompt))};
    while (tokens.size() < expected.size()) {
      tokens.push_back(
          ArgMax(sequence.Feed(absl::MakeConstSpan(&tokens.back(), 1))));
    }
    EXPECT_EQ(tokens, expected);
  }
}

TEST_P(GoldenTest, TeacherForcedNegativeLogLikelihood) {
  if (!golden_.contains("teacher_forced")) return;
  const Json& forced = golden_["teacher_forced"];
  const auto tokens = forced["tokens"].get<std::vector<TokenId>>();
  const auto expected =
      forced["negative_log_likelihood"].get<std::vector<double>>();
  SequenceDriver sequence(model_.get(), 0, static_cast<int64_t>(tokens.size()));
  const auto rows = sequence.Score(tokens);
  ASSERT_EQ(rows.size(), tokens.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const double actual = LogSumExp(rows[i]) - rows[i][tokens[i + 1]];
    EXPECT_NEAR(actual, expected[i], 1e-4) << "token " << i + 1;
  }
}

// Published files hold what the generator makes.
TEST(GoldenFilesTest, HoldTheGeneratorsWeights) {
  for (const std::string name : {"tlin-2x4", "transformer-4"}) {
    const Json golden = ReadGolden(name);
    const auto config = ParseModelConfig(golden["config"].dump(), name);
    const auto file =
        SafetensorsFile::Open(std::string(TLIN_SOURCE_DIR) + "/tests/goldens/" +
                              name + "/model.safetensors");
    ASSERT_TRUE(file.ok()) << file.status();
    const SeededWeights seeded =
        MakeSeededWeights(*config, golden["weights"]["seed"]);
    for (const auto& [tensor_name, tensor] : seeded.tensors) {
      const HostTensor& read = (*file)->tensors().at(tensor_name);
      EXPECT_EQ(read.shape, tensor.shape);
      size_t bytes = sizeof(float);
      for (const int64_t dimension : tensor.shape) bytes *= dimension;
      EXPECT_EQ(std::memcmp(read.data, tensor.data, bytes), 0) << tensor_name;
    }
  }
}

std::string GoldenName(const testing::TestParamInfo<Golden>& info) {
  std::string name =
      std::get<0>(info.param) + (std::get<1>(info.param) ? "_derived" : "");
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

const auto kSmallWithWindows = testing::Values(
    "tlin-2x4", "tconst-2x4", "tlin-3x3-uneven", "tconst-3x3-uneven",
    "tlin-1x2", "tconst-1x2", "tlin-head36", "tconst-head36", "tlin-auto");

INSTANTIATE_TEST_SUITE_P(Small, GoldenTest,
                         testing::Combine(kSmallWithWindows, testing::Bool()),
                         GoldenName);
INSTANTIATE_TEST_SUITE_P(Long, GoldenTest,
                         testing::Combine(testing::Values("tlin-long",
                                                          "tconst-long"),
                                          testing::Bool()),
                         GoldenName);
INSTANTIATE_TEST_SUITE_P(Large, GoldenTest,
                         testing::Combine(testing::Values("tlin-41m",
                                                          "tconst-41m"),
                                          testing::Bool()),
                         GoldenName);
INSTANTIATE_TEST_SUITE_P(Transformer, GoldenTest,
                         testing::Combine(testing::Values("transformer-4",
                                                          "transformer-41m"),
                                          testing::Values(false)),
                         GoldenName);

}  // namespace
}  // namespace tlin
