// The small parts: pending chunks, outcomes, ids, the port file, deadlines.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/clock.h"
#include "server/call_services.h"
#include "server/calls_in_flight.h"
#include "server/outcome.h"
#include "server/pending_chunks.h"
#include "server/port_file.h"
#include "server/process_memory.h"
#include "server/request_ids.h"

namespace tlin {
namespace {

Chunk Piece(const std::string& text, TokenId id) {
  return {text, {id}, {{id, -1.0f, 1, {{id, -1.0f}}}}};
}

TEST(PendingChunksTest, JoinsWhatWasNotTaken) {
  PendingChunks pending;
  EXPECT_TRUE(pending.empty());
  pending.Add(Piece("a", 1));
  pending.Add(Piece("", 2));
  pending.Add(Piece("b", 3));
  const Chunk chunk = pending.Take();
  EXPECT_TRUE(pending.empty());
  EXPECT_EQ(chunk.text, "ab");
  EXPECT_EQ(chunk.token_ids, (std::vector<TokenId>{1, 2, 3}));
  ASSERT_EQ(chunk.logprobs.size(), 3u);
  EXPECT_EQ(chunk.logprobs[2].top[0].token_id, 3);
  pending.Add(Piece("c", 4));
  EXPECT_EQ(pending.Take().text, "c");
}

TEST(PendingChunksTest, NoMessageOutgrowsWhatClientsAccept) {
  PendingChunks pending;
  const std::string text(1000, 'x');
  for (int i = 0; i < 10'000; ++i) pending.Add(Piece(text, i));
  TokenId next = 0;
  size_t messages = 0;
  for (; !pending.empty(); ++messages) {
    const Chunk chunk = pending.Take();
    EXPECT_LE(chunk.text.size(), PendingChunks::kMaxChunkBytes + 1000);
    for (const TokenId id : chunk.token_ids) EXPECT_EQ(id, next++);
  }
  EXPECT_EQ(next, 10'000);
  EXPECT_LT(messages, 50u);
}

TEST(PendingChunksTest, ClearForgetsAll) {
  PendingChunks pending;
  pending.Add(Piece("a", 1));
  pending.Clear();
  EXPECT_TRUE(pending.empty());
  pending.Add(Piece("b", 2));
  EXPECT_EQ(pending.Take().text, "b");
}

TEST(OutcomeTest, EveryEndHasOne) {
  RequestEnd end;
  const std::pair<FinishReason, const char*> reasons[] = {
      {FinishReason::kEos, "eos"},
      {FinishReason::kStop, "stop"},
      {FinishReason::kLength, "length"},
      {FinishReason::kDeadline, "deadline"},
      {FinishReason::kInterrupted, "interrupted"}};
  for (const auto& [reason, name] : reasons) {
    end.reason = reason;
    EXPECT_STREQ(OutcomeName(OutcomeOfEnd(end)), name);
  }
  end.reason.reset();
  const std::pair<absl::StatusCode, const char*> codes[] = {
      {absl::StatusCode::kCancelled, "cancelled"},
      {absl::StatusCode::kDeadlineExceeded, "deadline"},
      {absl::StatusCode::kUnavailable, "error"},
      {absl::StatusCode::kInternal, "error"}};
  for (const auto& [code, name] : codes) {
    end.status = absl::Status(code, "");
    EXPECT_STREQ(OutcomeName(OutcomeOfEnd(end)), name);
  }
}

TEST(OutcomeTest, EveryRefusalHasOne) {
  const std::pair<absl::StatusCode, const char*> table[] = {
      {absl::StatusCode::kInvalidArgument, "invalid"},
      {absl::StatusCode::kNotFound, "invalid"},
      {absl::StatusCode::kFailedPrecondition, "invalid"},
      {absl::StatusCode::kResourceExhausted, "rejected"},
      {absl::StatusCode::kUnavailable, "rejected"},
      {absl::StatusCode::kDeadlineExceeded, "deadline"},
      {absl::StatusCode::kInternal, "error"}};
  for (const auto& [code, name] : table) {
    EXPECT_STREQ(OutcomeName(OutcomeOfRefusal(absl::Status(code, ""))), name);
  }
}

TEST(RequestIdsTest, AreUniqueAcrossInstances) {
  RequestIds one;
  RequestIds other;
  std::set<std::string> ids;
  std::set<uint64_t> seeds;
  for (int i = 0; i < 1000; ++i) {
    ids.insert(one.NextId());
    ids.insert(other.NextId());
    seeds.insert(one.NextSeed());
  }
  EXPECT_EQ(ids.size(), 2000u);
  EXPECT_EQ(seeds.size(), 1000u);
}

TEST(CallsInFlightTest, WaitsForTheLast) {
  MonotonicClock clock;
  CallsInFlight calls(&clock);
  EXPECT_TRUE(calls.WaitUntilNone(absl::ZeroDuration()));
  calls.Begin();
  EXPECT_FALSE(calls.WaitUntilNone(absl::Milliseconds(1)));
  std::thread ends([&] { calls.End(); });
  EXPECT_TRUE(calls.WaitUntilNone(absl::Minutes(1)));
  ends.join();
}

TEST(CallsInFlightTest, WaitsForAPause) {
  MonotonicClock clock;
  CallsInFlight calls(&clock);
  const absl::Time begin = clock.Now();
  EXPECT_TRUE(calls.WaitForPause(absl::Minutes(1), absl::Minutes(1)));
  EXPECT_LT(clock.Now() - begin, absl::Minutes(1)) << "nobody has ever called";

  calls.Begin();
  EXPECT_FALSE(calls.WaitForPause(absl::Minutes(1), absl::Milliseconds(1)));
  EXPECT_FALSE(calls.WaitForPause(absl::Minutes(1), -absl::Seconds(1)));
  const absl::Time wait = clock.Now();
  calls.Begin();
  calls.End();
  EXPECT_TRUE(calls.WaitForPause(absl::Milliseconds(20), absl::Minutes(1)));
  EXPECT_GE(clock.Now() - wait, absl::Milliseconds(20));
}

TEST(PortFileTest, WritesBothAddresses) {
  EXPECT_EQ(BoundAddress("127.0.0.1:0", 4711), "127.0.0.1:4711");
  EXPECT_EQ(BoundAddress("[::1]:0", 4711), "[::1]:4711");
  const std::string path = absl::StrCat(::testing::TempDir(), "/tlin_ports");
  ASSERT_TRUE(WritePortFile(path, "a:1", "b:2").ok());
  std::ifstream file(path);
  const std::string content{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(content, "a:1\nb:2\n");
  EXPECT_FALSE(std::filesystem::exists(path + ".new"));
  const absl::Status status = WritePortFile("/no/such/dir/p", "a:1", "b:2");
  EXPECT_NE(std::string(status.message()).find("--port_file=/no/such/dir/p"),
            std::string::npos);
}

TEST(EngineDeadlineTest, LeavesTimeForTheLastWords) {
  const absl::Time now = absl::UnixEpoch() + absl::Hours(5);
  EXPECT_EQ(EngineDeadline(std::chrono::system_clock::time_point::max(), now),
            absl::InfiniteFuture());
  const absl::Time minute =
      EngineDeadline(absl::ToChronoTime(absl::Now() + absl::Minutes(1)), now);
  EXPECT_LE(minute, now + absl::Minutes(1) - absl::Milliseconds(100));
  EXPECT_GE(minute, now + absl::Seconds(30));
  const absl::Time past =
      EngineDeadline(absl::ToChronoTime(absl::Now() - absl::Seconds(1)), now);
  EXPECT_LT(past, now);
}

}  // namespace
}  // namespace tlin
