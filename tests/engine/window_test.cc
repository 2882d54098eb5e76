// Which tokens are history, at every length; the bounds of fills and scores.
#include <cmath>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/harness.h"

namespace tlin {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Cut {
  int32_t window;
  int32_t granularity;
};

class WindowTest : public ::testing::TestWithParam<Cut> {
 protected:
  static PuppetOptions Options() {
    PuppetOptions options;
    options.generation_window = GetParam().window;
    options.fill_granularity = GetParam().granularity;
    options.max_logit_rows = 2 * GetParam().granularity + 4;
    return options;
  }

  // By MODEL's words: history and window of a sequence of `tokens`.
  static void ExpectCut(const PuppetModel::SeenRow& row,
                        absl::Span<const TokenId> tokens) {
    const size_t history = static_cast<size_t>(
        HistoryOf(static_cast<int64_t>(tokens.size()), GetParam().window));
    EXPECT_EQ(absl::MakeConstSpan(row.history), tokens.subspan(0, history));
    EXPECT_EQ(absl::MakeConstSpan(row.window), tokens.subspan(history));
  }
};

TEST_P(WindowTest, EveryTokenIsSampledFromTheRightWindowAtEveryLength) {
  for (int64_t prompt = 1; prompt <= 27; ++prompt) {
    Harness harness(Options());
    harness.model.record_rows = true;
    const Request request = Harness::MakeRequest(prompt, 30);
    std::vector<TokenId> tokens = request.prompt;
    auto sink = harness.Submit(request);
    ASSERT_TRUE(harness.RunUntilIdle());
    ASSERT_THAT(harness.model.faults, IsEmpty());
    const std::vector<TokenId> made = sink->token_ids();
    ASSERT_EQ(made.size(), 30u);
    ASSERT_EQ(harness.model.rows.size(), 30u);
    for (size_t i = 0; i < made.size(); ++i) {
      ExpectCut(harness.model.rows[i], tokens);
      tokens.push_back(made[i]);
    }
    // A sync for a long prompt, then one at every full window.
    int64_t syncs = 0, history = 0;
    for (int64_t n = prompt; n < prompt + 30; ++n) {
      const int64_t now = HistoryOf(n, GetParam().window);
      syncs += now != history;
      history = now;
    }
    EXPECT_EQ(sink->finished()->usage.syncs, syncs);
    EXPECT_EQ(harness.listener.totals().syncs, syncs);
    EXPECT_EQ(harness.listener.totals().cache_hits,
              29 - syncs + (HistoryOf(prompt, GetParam().window) > 0));
  }
}

TEST_P(WindowTest, ScoresWalkWindowsFromTheStart) {
  const int32_t window = GetParam().window;
  for (int64_t length = 2; length <= 27; ++length) {
    Harness harness(Options());
    harness.model.record_rows = true;
    Request request = Harness::MakeRequest(length, 1);
    request.kind = Request::Kind::kScore;
    request.output.logprobs = 3;
    const std::vector<TokenId> tokens = request.prompt;
    auto sink = harness.Submit(request);
    ASSERT_TRUE(harness.RunUntilIdle());
    ASSERT_THAT(harness.model.faults, IsEmpty());
    ASSERT_EQ(sink->finished()->reason, FinishReason::kLength);
    EXPECT_EQ(sink->finished()->usage.generated_tokens, 0);
    EXPECT_EQ(sink->token_ids(),
              std::vector<TokenId>(tokens.begin() + 1, tokens.end()));
    const std::vector<TokenLogprobs> scores = sink->logprobs();
    ASSERT_EQ(scores.size(), tokens.size() - 1);
    ASSERT_EQ(harness.model.rows.size(), scores.size());
    for (size_t i = 0; i < scores.size(); ++i) {
      const size_t history =
          static_cast<size_t>(window == 0 ? 0 : i / window * window);
      const auto all = absl::MakeConstSpan(tokens);
      const PuppetModel::SeenRow& row = harness.model.rows[i];
      EXPECT_EQ(absl::MakeConstSpan(row.history), all.subspan(0, history));
      EXPECT_EQ(absl::MakeConstSpan(row.window),
                all.subspan(history, i + 1 - history));
      std::vector<float> logits(28);
      HashLogits(row.history, row.window, absl::MakeSpan(logits));
      double sum = 0;
      for (float logit : logits) sum += std::exp(logit);
      EXPECT_NEAR(scores[i].logprob, logits[tokens[i + 1]] - std::log(sum),
                  1e-5);
      EXPECT_EQ(scores[i].top.size(), 3u);
    }
  }
}

TEST_P(WindowTest, SampledTokensDoNotDependOnTheCompany) {
  const Request request = Harness::MakeRequest(21, 12, 7);
  const std::vector<TokenId> alone = Harness::Alone(Options(), request);
  ASSERT_EQ(alone.size(), 12u);
  for (int company = 1; company < 7; ++company) {
    Harness harness(Options());
    for (int i = 0; i < company; ++i) {
      harness.Submit(Harness::MakeRequest(5 + 9 * i, 40, 100 + i));
      harness.Step();
    }
    auto sink = harness.Submit(request);
    ASSERT_TRUE(harness.RunUntilIdle());
    EXPECT_THAT(harness.model.faults, IsEmpty());
    EXPECT_EQ(sink->token_ids(), alone) << company;
  }
}

INSTANTIATE_TEST_SUITE_P(Cuts, WindowTest,
                         ::testing::Values(Cut{1, 1}, Cut{2, 1}, Cut{8, 1},
                                           Cut{8, 4}, Cut{7, 4}, Cut{12, 4},
                                           Cut{0, 1}, Cut{0, 4}),
                         [](const auto& info) {
                           return absl::StrCat("Window", info.param.window,
                                               "Grid", info.param.granularity);
                         });

TEST(FillTest, PartsHaveTheSameBordersInAnyCompany) {
  PuppetOptions options;
  options.generation_window = 32;
  options.fill_granularity = 4;
  options.max_fill_rows = 16;
  options.max_logit_rows = 16;
  for (int company = 0; company < 4; ++company) {
    Harness harness(options);
    for (int i = 0; i < company; ++i) {
      harness.Submit(Harness::MakeRequest(3, 60, 50 + i));
    }
    for (int i = 0; i < 3; ++i) harness.Step();
    harness.model.record_plans = true;
    auto sink = harness.Submit(Harness::MakeRequest(32 + 27, 2));
    while (!sink->ended()) harness.Step();
    std::vector<int32_t> parts;
    for (const auto& plan : harness.model.plans) {
      parts.insert(parts.end(), plan.fill_rows.begin(), plan.fill_rows.end());
    }
    // 100 units a step buy 10 rows: 8 on the grid.
    EXPECT_THAT(parts, ElementsAre(8, 8, 8, 3)) << company;
    EXPECT_THAT(harness.model.faults, IsEmpty());
  }
}

}  // namespace
}  // namespace tlin
