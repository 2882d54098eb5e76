#include "server/response_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <utility>

namespace tlin {
namespace {

using ::testing::ElementsAre;

TEST(ResponseCodecTest, Started) {
  const v1::GenerateResponse wire =
      EncodeStarted({12, 4, 1ull << 63}, "r-1", "s-1");
  EXPECT_EQ(wire.started().session_id(), "s-1");
  EXPECT_EQ(wire.started().request_id(), "r-1");
  EXPECT_EQ(wire.started().prompt_tokens(), 12);
  EXPECT_EQ(wire.started().cached_tokens(), 4);
  EXPECT_EQ(wire.started().seed(), 1ull << 63);
}

TEST(ResponseCodecTest, ChunkWithLogprobs) {
  Chunk chunk;
  chunk.text = "é";
  chunk.token_ids = {5, 6};
  chunk.logprobs = {{5, -0.5f, 1, {{5, -0.5f}, {7, -1.5f}}}, {6, -9, 4, {}}};
  const v1::GenerateResponse wire = EncodeChunk(chunk);
  EXPECT_EQ(wire.chunk().text(), "é");
  EXPECT_THAT(wire.chunk().token_ids(), ElementsAre(5, 6));
  ASSERT_EQ(wire.chunk().logprobs_size(), 2);
  EXPECT_EQ(wire.chunk().logprobs(0).rank(), 1);
  EXPECT_EQ(wire.chunk().logprobs(0).top(1).token_id(), 7);
  EXPECT_EQ(wire.chunk().logprobs(1).logprob(), -9);
}

TEST(ResponseCodecTest, FinishedOfEveryReason) {
  const std::pair<FinishReason, v1::Finished::Reason> table[] = {
      {FinishReason::kEos, v1::Finished::EOS},
      {FinishReason::kStop, v1::Finished::STOP},
      {FinishReason::kLength, v1::Finished::LENGTH},
      {FinishReason::kDeadline, v1::Finished::DEADLINE},
      {FinishReason::kInterrupted, v1::Finished::INTERRUPTED}};
  for (const auto& [reason, wire_reason] : table) {
    Finished finished;
    finished.reason = reason;
    finished.stop_match = "##";
    finished.usage = {1, 2, 3, 4};
    finished.timing = {absl::Seconds(1), absl::Seconds(2), absl::Seconds(3),
                       absl::Milliseconds(500)};
    const v1::Finished wire = EncodeFinished(finished).finished();
    EXPECT_EQ(wire.reason(), wire_reason);
    EXPECT_EQ(wire.stop_match(), "##");
    EXPECT_EQ(wire.usage().prompt_tokens(), 1);
    EXPECT_EQ(wire.usage().cached_tokens(), 2);
    EXPECT_EQ(wire.usage().generated_tokens(), 3);
    EXPECT_EQ(wire.usage().syncs(), 4);
    EXPECT_DOUBLE_EQ(wire.timing().queue_seconds(), 1);
    EXPECT_DOUBLE_EQ(wire.timing().first_token_seconds(), 2);
    EXPECT_DOUBLE_EQ(wire.timing().total_seconds(), 3);
    EXPECT_DOUBLE_EQ(wire.timing().sync_seconds(), 0.5);
  }
}

TEST(ResponseCodecTest, ScoreSumsUp) {
  const TokenLogprobs tokens[] = {{1, -1.0f, 1, {}}, {2, -3.0f, 9, {}}};
  const v1::ScoreResponse wire = EncodeScore(tokens);
  EXPECT_EQ(wire.tokens_size(), 2);
  EXPECT_DOUBLE_EQ(wire.negative_log_likelihood(), 4.0);
  EXPECT_DOUBLE_EQ(wire.perplexity(), std::exp(2.0));
  EXPECT_DOUBLE_EQ(EncodeScore({}).perplexity(), 1.0);
}

}  // namespace
}  // namespace tlin
