// What a caller reads: stops, limits, penalties and log-probabilities, through
// the whole loop.
#include <cmath>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/harness.h"

namespace tlin {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr TokenId kEos = 27;

PuppetOptions Plain() {
  PuppetOptions options;
  options.generation_window = 0;  // the window is the whole sequence
  return options;
}

// The letters of `text` in order, '#' being the end of text, after a prompt of
// one token.
PuppetLogits Says(std::string text) {
  return [text](absl::Span<const TokenId>, absl::Span<const TokenId> window,
                absl::Span<float> logits) {
    std::fill(logits.begin(), logits.end(), 0.0f);
    const char c = text[(window.size() - 1) % text.size()];
    logits[c == '#' ? kEos : c == ' ' ? 26 : c - 'a'] = 30.0f;
  };
}

std::shared_ptr<RecordingSink> Generate(const std::string& text,
                                        const Request& request) {
  Harness harness(Plain(), Harness::DefaultOptions(), Says(text), kEos);
  auto sink = harness.Submit(request);
  EXPECT_TRUE(harness.RunUntilIdle());
  EXPECT_THAT(sink->faults(), IsEmpty());
  EXPECT_THAT(harness.model.faults, IsEmpty());
  return sink;
}

Request OneToken(int32_t max_new = 64) {
  Request request = Harness::MakeRequest(1, max_new);
  request.sampling.temperature = 0;
  return request;
}

TEST(GenerationTest, EndsWithTheEndOfText) {
  auto sink = Generate("hello#", OneToken());
  EXPECT_EQ(sink->text(), "hello");
  EXPECT_EQ(sink->finished()->reason, FinishReason::kEos);
  EXPECT_EQ(sink->finished()->usage.generated_tokens, 6);
  Request request = OneToken(8);
  request.stopping.ignore_eos = true;
  sink = Generate("hello#", request);
  EXPECT_EQ(sink->text(), "hellohe");
  EXPECT_EQ(sink->finished()->reason, FinishReason::kLength);
}

TEST(GenerationTest, TokensLeaveWithTheTextThatDecides) {
  Request request = OneToken();
  request.stopping.stop = {"abx", "stop"};
  const auto sink = Generate("aabcstop", request);
  std::vector<std::string> texts;
  for (const Chunk& chunk : sink->chunks()) {
    texts.push_back(absl::StrCat(chunk.text, ":", chunk.token_ids.size()));
  }
  // "a" may begin "abx"; the second one frees the first.
  EXPECT_THAT(texts, ElementsAre("a:2", "abc:2", ":4"));
  EXPECT_EQ(sink->finished()->reason, FinishReason::kStop);
  EXPECT_EQ(sink->finished()->stop_match, "stop");
  EXPECT_EQ(sink->token_ids().size(), 8u) << "the stop string's too";
  request.stopping.include_stop = true;
  EXPECT_EQ(Generate("aabcstop", request)->text(), "aabcstop");
}

TEST(GenerationTest, ADeadlineLetsHeldTextOut) {
  Harness harness(Plain(), Harness::DefaultOptions(), Says("aasto"), kEos);
  Request request = OneToken();
  request.stopping.stop = {"stop"};
  request.deadline = harness.clock.Now() + absl::Seconds(1);
  auto sink = harness.Submit(request);
  for (int i = 0; i < 5; ++i) harness.Step();
  EXPECT_EQ(sink->text(), "aa");
  harness.clock.Advance(absl::Seconds(1));
  harness.Step();
  EXPECT_EQ(sink->text(), "aasto");
  EXPECT_EQ(sink->token_ids().size(), 5u);
  EXPECT_EQ(sink->finished()->reason, FinishReason::kDeadline);
}

TEST(GenerationTest, StopTokensAndTheLeastNumberOfTokens) {
  Request request = OneToken();
  request.stopping.stop_token_ids = {2};
  auto sink = Generate("abcd", request);
  EXPECT_EQ(sink->text(), "ab");
  EXPECT_EQ(sink->finished()->stop_match, "2");
  // Neither the stop token nor the end of text is sampled before the fourth:
  // of the rest the lowest id is likeliest.
  request.stopping.min_new_tokens = 4;
  sink = Generate("bc#c", request);
  EXPECT_EQ(sink->text(), "baa");
  EXPECT_EQ(sink->finished()->usage.generated_tokens, 4);
  EXPECT_EQ(sink->finished()->reason, FinishReason::kStop);
}

TEST(GenerationTest, TokenIdsOnlyStillStopsByText) {
  Request request = OneToken();
  request.stopping.stop = {"cd"};
  request.output.token_ids_only = true;
  const auto sink = Generate("abcdef", request);
  EXPECT_EQ(sink->text(), "");
  EXPECT_THAT(sink->token_ids(), ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(sink->finished()->stop_match, "cd");
}

TEST(GenerationTest, LogprobsComeWithTheirTokens) {
  Request request = OneToken(3);
  request.output.logprobs = 128;
  const auto sink = Generate("xyz", request);
  const std::vector<TokenLogprobs> logprobs = sink->logprobs();
  ASSERT_EQ(logprobs.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(logprobs[i].token_id, static_cast<TokenId>('x' - 'a' + i));
    EXPECT_EQ(logprobs[i].rank, 1);
    EXPECT_NEAR(logprobs[i].logprob, -std::log1p(27 * std::exp(-30)), 1e-6);
    EXPECT_EQ(logprobs[i].top.size(), 28u);
    EXPECT_EQ(logprobs[i].top[0].token_id, logprobs[i].token_id);
  }
  EXPECT_THAT(Generate("xyz", OneToken(3))->logprobs(), IsEmpty());
}

// The same two likely tokens at each step; penalties tell what comes.
std::vector<TokenId> Penalised(void (*change)(Sampling*)) {
  Request request;
  request.prompt = {3};
  request.stopping.max_new_tokens = 4;
  request.sampling.temperature = 0;
  change(&request.sampling);
  Harness harness(Plain(), Harness::DefaultOptions(),
                  [](auto, auto, absl::Span<float> logits) {
                    std::fill(logits.begin(), logits.end(), 0.0f);
                    logits[3] = 5.0f;
                    logits[4] = 4.9f;
                  });
  auto sink = harness.Submit(request);
  EXPECT_TRUE(harness.RunUntilIdle());
  return sink->token_ids();
}

TEST(GenerationTest, PenaltiesSeeThePromptAndWhatWasGenerated) {
  EXPECT_THAT(Penalised([](Sampling*) {}), ElementsAre(3, 3, 3, 3));
  // The prompt's 3 counts; after 4 both do.
  EXPECT_THAT(Penalised([](Sampling* s) { s->repetition_penalty = 1.5f; }),
              ElementsAre(4, 3, 3, 3));
  // The prompt's does not.
  EXPECT_THAT(Penalised([](Sampling* s) { s->frequency_penalty = 0.2f; }),
              ElementsAre(3, 4, 3, 4));
  EXPECT_THAT(Penalised([](Sampling* s) { s->presence_penalty = 0.2f; }),
              ElementsAre(3, 4, 3, 3));
  EXPECT_THAT(Penalised([](Sampling* s) { s->presence_penalty = 9.0f; }),
              ElementsAre(3, 4, 0, 1));
}

TEST(GenerationTest, ASeedTellsTheTextAndAnotherSeedAnother) {
  Request request = Harness::MakeRequest(5, 30);
  const std::vector<TokenId> tokens = Harness::Alone({}, request);
  EXPECT_EQ(Harness::Alone({}, request), tokens);
  request.sampling.seed = 99;
  EXPECT_NE(Harness::Alone({}, request), tokens);
}

TEST(GenerationTest, ASampleDependsOnSeedAndPositionNotOnWhereThePromptEnded) {
  // The text so far as a prompt: the rest comes out the same.
  Request request = Harness::MakeRequest(5, 30);
  const std::vector<TokenId> tokens = Harness::Alone({}, request);
  Request rest = request;
  rest.prompt.insert(rest.prompt.end(), tokens.begin(), tokens.begin() + 13);
  rest.stopping.max_new_tokens = 17;
  EXPECT_EQ(Harness::Alone({}, rest),
            std::vector<TokenId>(tokens.begin() + 13, tokens.end()));
}

TEST(GenerationTest, TheContextEndsIt) {
  PuppetOptions options = Plain();
  options.max_context_tokens = 12;
  EXPECT_EQ(Harness::Alone(options, Harness::MakeRequest(5, 30)).size(), 7u);
  EXPECT_EQ(Harness::Alone(options, Harness::MakeRequest(11, 30)).size(), 1u);
}

TEST(GenerationTest, TimesAreTheClocks) {
  PuppetOptions options;
  options.slots = 1;
  Harness harness(options);
  harness.Submit(Harness::MakeRequest(1, 4));
  auto sink = harness.Submit(Harness::MakeRequest(17, 3));
  ASSERT_TRUE(harness.RunUntilIdle());
  const Timing timing = sink->finished()->timing;
  // A step lasts 1 ms here: four for the first request; then a sync of 160
  // units and the last row, then a row a token.
  EXPECT_EQ(timing.queue, absl::Milliseconds(4));
  EXPECT_EQ(timing.first_token, absl::Milliseconds(6));
  EXPECT_EQ(timing.total, absl::Milliseconds(8));
  EXPECT_EQ(timing.sync, absl::Milliseconds(2));
}

}  // namespace
}  // namespace tlin
