// Two engines over one shared store: who has a session when, and what becomes
// of what was made when it was not to be.
#include <memory>
#include <string>

#include "engine/session/store_thread.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/harness.h"
#include "tests/testing/fake_shared_store.h"

namespace tlin {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr absl::Duration kLease = absl::Seconds(10);

// A process: its engine, and its store's thread. Its clock is its own.
class Process {
 public:
  explicit Process(FakeSharedSessions* sessions)
      : store_(sessions, kLease, &harness.clock),
        thread_(&store_, &harness.model, &harness.clock,
                [this](ShelfResult result) {
                  harness.inbox.Deliver(std::move(result));
                }) {
    harness.loop.UseShelf(&thread_, /*shared=*/true);
  }

  // Until the store and the engine have nothing to say to each other.
  void Settle() {
    for (int i = 0; i < 4; ++i) {
      EXPECT_TRUE(thread_.WaitUntilIdle(absl::Minutes(1)));
      harness.Step();
    }
  }
  // What `command` returns, once it has run.
  template <class Command>
  auto Ask(const SessionScope& scope, Command command) {
    std::optional<decltype(command(std::declval<Sessions&>()))> answer;
    EXPECT_TRUE(
        harness.inbox
            .Post([&](Sessions& s) { answer.emplace(command(s)); }, scope)
            .ok());
    harness.Step();
    while (!answer.has_value()) {
      harness.clock.Advance(absl::Milliseconds(100));
      Settle();
    }
    Settle();
    return *std::move(answer);
  }
  absl::Status Create(const std::string& id) {
    return Ask({SessionScope::Kind::kLease, {id}},
               [&](Sessions& s) { return s.Create(id).status(); });
  }
  absl::Status Delete(const std::string& id) {
    return Ask({SessionScope::Kind::kLease, {id}},
               [&](Sessions& s) { return s.Delete(id); });
  }
  absl::StatusOr<SessionInfo> Get(const std::string& id) {
    return Ask({SessionScope::Kind::kLook, {id}},
               [&](Sessions& s) { return s.Get(id); });
  }
  absl::StatusOr<std::vector<SessionInfo>> List() {
    return Ask({SessionScope::Kind::kLook, {}},
               [](Sessions& s) { return s.List(); });
  }
  std::shared_ptr<RecordingSink> Submit(const std::string& id, int64_t prompt,
                                        uint64_t salt, int32_t max_new = 6) {
    return harness.SubmitTurn(id, prompt, salt, max_new);
  }
  // To its end, and until it is stored.
  std::shared_ptr<RecordingSink> Turn(const std::string& id, int64_t prompt,
                                      uint64_t salt) {
    auto sink = Submit(id, prompt, salt);
    harness.Step();
    for (int i = 0; i < 1000 && !sink->ended(); ++i) {
      harness.clock.Advance(absl::Milliseconds(100));
      Settle();
    }
    Settle();
    return sink;
  }
  // Until the request on `sink` has said something.
  void RunUntilItSpeaks(const std::shared_ptr<RecordingSink>& sink) {
    while (sink->token_ids().empty()) Settle();
  }

  Harness harness;

 private:
  FakeSharedStore store_;
  StoreThread thread_;
};

TEST(SharedSessionsTest, ASessionGoesOnAtTheOther) {
  FakeSharedSessions sessions;
  Process one(&sessions), two(&sessions);
  ASSERT_TRUE(one.Create("s").ok());
  std::vector<TokenId> tokens;
  for (uint64_t turn = 1; turn <= 6; ++turn) {
    Process& process = turn % 2 == 1 ? one : two;
    const Request request = Harness::MakeRequest(11, 6, turn);
    const auto before = static_cast<int64_t>(tokens.size());
    tokens.insert(tokens.end(), request.prompt.begin(), request.prompt.end());
    const auto sink = process.Turn("s", 11, turn);
    ASSERT_TRUE(sink->finished().has_value()) << sink->status();
    Request whole = request;
    whole.prompt = tokens;
    const auto expected = Harness::Alone({}, whole);
    EXPECT_EQ(sink->token_ids(), expected) << turn;
    EXPECT_EQ(sink->finished()->usage.cached_tokens,
              std::max<int64_t>(before - 1, 0));
    tokens.insert(tokens.end(), expected.begin(), expected.end());
    EXPECT_FALSE(sessions.leased("s"));
    for (Process* each : {&one, &two}) {
      EXPECT_EQ(each->Get("s")->tokens, static_cast<int64_t>(tokens.size()));
      EXPECT_THAT(*each->List(), SizeIs(1));
    }
  }
}

TEST(SharedSessionsTest, NotWhileTheOtherHasIt) {
  FakeSharedSessions sessions;
  Process one(&sessions), two(&sessions);
  ASSERT_TRUE(one.Create("s").ok());
  const auto running = one.Submit("s", 5, 1, /*max_new=*/100000);
  one.RunUntilItSpeaks(running);
  EXPECT_TRUE(sessions.leased("s"));
  const auto refused = two.Turn("s", 5, 2);
  EXPECT_EQ(refused->status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::IsFailedPrecondition(two.Delete("s")));
  // A store that says no has not failed.
  EXPECT_EQ(two.harness.listener.totals().store_errors, 0);
  one.harness.inbox.Cancel("request-1");
  one.Settle();
  EXPECT_TRUE(running->ended());
  const auto sink = two.Turn("s", 5, 2);
  EXPECT_TRUE(sink->finished().has_value()) << sink->status();
}

TEST(SharedSessionsTest, ALeaseIsRenewedWhileItIsNeeded) {
  FakeSharedSessions sessions;
  Process one(&sessions);
  ASSERT_TRUE(one.Create("s").ok());
  const auto running = one.Submit("s", 5, 1, /*max_new=*/100000);
  one.RunUntilItSpeaks(running);
  for (int i = 0; i < 20; ++i) {
    one.harness.clock.Advance(kLease / 2);
    one.Settle();
  }
  EXPECT_FALSE(running->ended());
  EXPECT_GE(one.harness.listener.totals().renewals, 10);
}

TEST(SharedSessionsTest, WhoStoodStillPastItsLeaseSaysNothingMore) {
  FakeSharedSessions sessions;
  Process one(&sessions), two(&sessions);
  ASSERT_TRUE(one.Create("s").ok());
  const auto first = one.Turn("s", 5, 1);
  const auto late = one.Submit("s", 5, 2, /*max_new=*/100000);
  one.RunUntilItSpeaks(late);
  const size_t said = late->token_ids().size();
  // It stands still; the store lets its lease go, and the other goes on.
  sessions.ExpireLease("s");
  const auto next = two.Turn("s", 5, 3);
  ASSERT_TRUE(next->finished().has_value()) << next->status();
  EXPECT_EQ(next->finished()->usage.prompt_tokens,
            static_cast<int64_t>(5 + first->token_ids().size() + 5));
  const std::string stored = sessions.snapshot("s");
  one.harness.clock.Advance(2 * kLease);
  one.Settle();
  EXPECT_TRUE(absl::IsUnavailable(late->status())) << late->status();
  EXPECT_THAT(std::string(late->status().message()), HasSubstr("lease"));
  EXPECT_EQ(late->token_ids().size(), said);
  EXPECT_EQ(sessions.snapshot("s"), stored);
  // What it made in vain is forgotten; it goes on from what the other stored.
  const auto after = one.Turn("s", 5, 4);
  ASSERT_TRUE(after->finished().has_value()) << after->status();
  EXPECT_EQ(after->finished()->usage.prompt_tokens,
            next->finished()->usage.prompt_tokens +
                static_cast<int64_t>(next->token_ids().size()) + 5);
}

TEST(SharedSessionsTest, AWriteThatComesLateIsRefusedAndForgotten) {
  FakeSharedSessions sessions;
  Process one(&sessions), two(&sessions);
  ASSERT_TRUE(one.Create("s").ok());
  const auto running = one.Submit("s", 5, 1, /*max_new=*/100000);
  one.RunUntilItSpeaks(running);
  // Its clock does not say so, but the other has had the session.
  sessions.ExpireLease("s");
  ASSERT_TRUE(two.Turn("s", 5, 2)->finished().has_value());
  const std::string stored = sessions.snapshot("s");
  one.harness.inbox.Cancel("request-1");
  one.Settle();
  EXPECT_EQ(sessions.snapshot("s"), stored);
  const auto after = one.Turn("s", 5, 3);
  ASSERT_TRUE(after->finished().has_value()) << after->status();
  EXPECT_EQ(after->finished()->usage.prompt_tokens, 5 + 6 + 5);
}

TEST(SharedSessionsTest, AStoreThatIsGoneIsToldAndTriedAgain) {
  FakeSharedSessions sessions;
  Process one(&sessions), two(&sessions);
  ASSERT_TRUE(one.Create("s").ok());
  const auto running = one.Submit("s", 5, 1, /*max_new=*/20);
  one.RunUntilItSpeaks(running);
  sessions.FailWith(absl::UnavailableError("gone"));
  one.harness.RunUntilIdle();
  ASSERT_TRUE(running->finished().has_value()) << running->status();
  const auto refused = two.Turn("s", 5, 2);
  EXPECT_TRUE(absl::IsUnavailable(refused->status())) << refused->status();
  EXPECT_TRUE(absl::IsUnavailable(two.List().status()));
  // What was made is written once the store is back, and the lease given back.
  sessions.FailWith(absl::OkStatus());
  while (sessions.leased("s")) {
    one.harness.clock.Advance(absl::Seconds(1));
    one.Settle();
  }
  const auto next = two.Turn("s", 5, 2);
  ASSERT_TRUE(next->finished().has_value()) << next->status();
  EXPECT_EQ(next->finished()->usage.prompt_tokens, 5 + 20 + 5);
}

TEST(SharedSessionsTest, DeletedIsDeletedForBoth) {
  FakeSharedSessions sessions;
  Process one(&sessions), two(&sessions);
  ASSERT_TRUE(one.Create("s").ok());
  ASSERT_TRUE(one.Turn("s", 5, 1)->finished().has_value());
  EXPECT_TRUE(two.Delete("s").ok());
  EXPECT_TRUE(absl::IsNotFound(one.Get("s").status()));
  EXPECT_TRUE(absl::IsNotFound(one.Turn("s", 5, 2)->status()));
  EXPECT_THAT(*one.List(), IsEmpty());
  EXPECT_TRUE(one.Create("s").ok());
}

TEST(SharedSessionsTest, AForkIsOfWhatTheOtherStored) {
  FakeSharedSessions sessions;
  Process one(&sessions), two(&sessions);
  ASSERT_TRUE(one.Create("s").ok());
  ASSERT_TRUE(one.Turn("s", 5, 1)->finished().has_value());
  const absl::Status forked =
      two.Ask({SessionScope::Kind::kLease, {"s", "t"}},
              [](Sessions& s) { return s.Fork("s", "t").status(); });
  ASSERT_TRUE(forked.ok()) << forked;
  EXPECT_EQ(one.Turn("t", 5, 2)->token_ids(), two.Turn("s", 5, 2)->token_ids());
  EXPECT_FALSE(sessions.leased("s"));
  EXPECT_FALSE(sessions.leased("t"));
}

}  // namespace
}  // namespace tlin
