// Sessions go on where they were, wherever their state has been meanwhile.
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/harness.h"

namespace tlin {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// One caller's conversation, and what it has to be.
class Talk {
 public:
  Talk(Harness* harness, std::string id) : harness_(harness), id_(id) {
    EXPECT_TRUE(
        harness->Ask([&](Sessions& sessions) { return sessions.Create(id); })
            .ok());
  }

  Request MakeRequest(int64_t prompt, int32_t max_new) {
    Request request = Harness::MakeRequest(prompt, max_new, ++turns_);
    request.session_id = id_;
    return request;
  }

  // A turn to its end, the same as of one request with all the tokens.
  void TakeTurn(int64_t prompt, int32_t max_new) {
    Request request = MakeRequest(prompt, max_new);
    tokens_.insert(tokens_.end(), request.prompt.begin(), request.prompt.end());
    Request cold = request;
    cold.session_id.clear();
    cold.prompt = tokens_;
    sink_ = harness_->Submit(std::move(request));
    ASSERT_NE(sink_, nullptr);
    ASSERT_TRUE(harness_->RunUntilIdle());
    ASSERT_TRUE(sink_->finished().has_value()) << sink_->status();
    EXPECT_EQ(sink_->token_ids(), Harness::Alone(PuppetOptions(), cold))
        << id_ << ", turn " << turns_;
    EXPECT_EQ(usage().prompt_tokens, static_cast<int64_t>(tokens_.size()));
    Append(sink_->token_ids());
  }

  void Append(const std::vector<TokenId>& tokens) {
    tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  }
  Usage usage() const { return sink_->finished()->usage; }
  const std::vector<TokenId>& tokens() const { return tokens_; }

 private:
  Harness* const harness_;
  const std::string id_;
  uint64_t turns_ = 0;
  std::vector<TokenId> tokens_;
  std::shared_ptr<RecordingSink> sink_;
};

SessionInfo Info(Harness* harness, const std::string& id) {
  return harness->Ask(
      [&](Sessions& sessions) { return sessions.Get(id).value(); });
}

TEST(SessionTest, GoesOnAtEveryPlaceOfAWindow) {
  for (int64_t prompt = 1; prompt <= 20; ++prompt) {
    for (const int32_t max_new : {1, 2, 7, 8, 9}) {
      Harness harness;
      Talk talk(&harness, "a");
      talk.TakeTurn(prompt, max_new);
      const auto fed = static_cast<int64_t>(talk.tokens().size()) - 1;
      talk.TakeTurn(1 + prompt % 3, 3);
      EXPECT_EQ(talk.usage().cached_tokens, fed) << "all but the last one";
      talk.TakeTurn(30, 20);
      EXPECT_THAT(harness.model.faults, IsEmpty());
      EXPECT_EQ(harness.model.saves, 0) << "it stayed in its slot";
    }
  }
}

TEST(SessionTest, MoreSessionsThanSlotsTakeTurns) {
  Harness harness(PuppetOptions{.slots = 2});
  std::vector<std::unique_ptr<Talk>> talks;
  for (int i = 0; i < 5; ++i) {
    talks.push_back(std::make_unique<Talk>(&harness, absl::StrCat("s", i)));
  }
  for (int turn = 0; turn < 4; ++turn) {
    for (size_t i = 0; i < talks.size(); ++i) {
      const auto fed = static_cast<int64_t>(talks[i]->tokens().size()) - 1;
      talks[i]->TakeTurn(1 + static_cast<int64_t>(i) * 4, 5);
      EXPECT_EQ(talks[i]->usage().cached_tokens, turn == 0 ? 0 : fed);
      EXPECT_EQ(harness.loop.slots().used(),
                harness.loop.sessions().kept_slots());
    }
  }
  EXPECT_EQ(harness.model.loads, 3 * 5);
  EXPECT_EQ(harness.model.saves, 4 * 5 - 2);
  EXPECT_THAT(harness.model.faults, IsEmpty());
  EXPECT_EQ(Info(&harness, "s4").residence, SessionInfo::Residence::kIdle);
  EXPECT_EQ(Info(&harness, "s0").residence, SessionInfo::Residence::kStored);
  const EngineState state = harness.listener.totals().state;
  EXPECT_EQ(state.sessions_idle, 2);
  EXPECT_EQ(state.sessions_stored, 3);
}

TEST(SessionTest, TheLeastRecentlyUsedLeavesItsSlot) {
  Harness harness(PuppetOptions{.slots = 2});
  Talk a(&harness, "a"), b(&harness, "b"), c(&harness, "c");
  a.TakeTurn(3, 3);
  b.TakeTurn(3, 3);
  a.TakeTurn(3, 3);
  c.TakeTurn(3, 3);
  EXPECT_EQ(Info(&harness, "a").residence, SessionInfo::Residence::kIdle);
  EXPECT_EQ(Info(&harness, "b").residence, SessionInfo::Residence::kStored);
  // A request without a session wants a slot as well.
  harness.Submit(Harness::MakeRequest(3, 1));
  ASSERT_TRUE(harness.RunUntilIdle());
  EXPECT_EQ(Info(&harness, "a").residence, SessionInfo::Residence::kStored);
  EXPECT_EQ(harness.loop.slots().used(), 1);
}

TEST(SessionTest, WithoutMemoryForStatesTheTokensMakeThemAgain) {
  EngineOptions options = Harness::DefaultOptions();
  options.sessions.state_memory_bytes = 0;
  Harness harness(PuppetOptions{.slots = 1}, options);
  Talk a(&harness, "a"), b(&harness, "b");
  for (int turn = 0; turn < 3; ++turn) {
    a.TakeTurn(11, 5);
    EXPECT_EQ(a.usage().cached_tokens, 0);
    b.TakeTurn(2, 3);
    EXPECT_EQ(harness.listener.totals().state.host_state_bytes, 0);
  }
  EXPECT_EQ(harness.model.loads, 0);
}

TEST(SessionTest, StatesInMemoryAreCountedOnceAndBounded) {
  EngineOptions options = Harness::DefaultOptions();
  options.sessions.state_memory_bytes = 100 * sizeof(TokenId);
  Harness harness(PuppetOptions{.slots = 1}, options);
  std::vector<std::unique_ptr<Talk>> talks;
  for (int i = 0; i < 6; ++i) {
    talks.push_back(std::make_unique<Talk>(&harness, absl::StrCat("s", i)));
    talks.back()->TakeTurn(20, 6);  // 25 are fed
    EXPECT_LE(harness.listener.totals().state.host_state_bytes,
              options.sessions.state_memory_bytes);
  }
  EXPECT_EQ(harness.listener.totals().state.host_state_bytes, 100 * 4);
  for (int i = 0; i < 50; ++i) {
    EXPECT_TRUE(harness
                    .Ask([&](Sessions& sessions) {
                      return sessions.Fork("s4", absl::StrCat("fork", i));
                    })
                    .ok());
  }
  EXPECT_EQ(harness.listener.totals().state.host_state_bytes, 100 * 4)
      << "forks share the state";
  talks[4]->TakeTurn(3, 3);
  EXPECT_EQ(talks[4]->usage().cached_tokens, 25);
  talks[0]->TakeTurn(3, 3);
  EXPECT_EQ(talks[0]->usage().cached_tokens, 0) << "the oldest was let go";
}

TEST(SessionTest, ASessionHasOneRequestAtATime) {
  Harness harness;
  Talk talk(&harness, "a");
  auto first = harness.Submit(talk.MakeRequest(5, 50));
  harness.Step();
  auto second = harness.Submit(talk.MakeRequest(1, 1));
  harness.Step();
  ASSERT_TRUE(second->ended());
  EXPECT_TRUE(absl::IsFailedPrecondition(second->status()));
  EXPECT_THAT(second->status().message(), HasSubstr("session a"));
  for (const absl::Status& refused :
       {harness.Ask([](Sessions& s) { return s.Delete("a"); }),
        harness.Ask([](Sessions& s) { return s.Fork("a", "b").status(); })}) {
    EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  }
  EXPECT_EQ(Info(&harness, "a").residence, SessionInfo::Residence::kActive);
  EXPECT_TRUE(harness.RunUntilIdle());
  EXPECT_TRUE(first->finished().has_value());
  EXPECT_EQ(Info(&harness, "a").tokens, 55);
}

TEST(SessionTest, WhatIsNotThereOrTooLongIsRefused) {
  PuppetOptions puppet;
  puppet.max_context_tokens = 40;
  Harness harness(puppet);
  Request request = Harness::MakeRequest(3, 3);
  request.session_id = "nobody";
  auto sink = harness.Submit(request);
  ASSERT_TRUE(harness.RunUntilIdle());
  EXPECT_TRUE(absl::IsNotFound(sink->status()));
  EXPECT_THAT(sink->status().message(), HasSubstr("nobody"));

  Talk talk(&harness, "a");
  sink = harness.Submit(talk.MakeRequest(20, 5));
  ASSERT_TRUE(harness.RunUntilIdle());
  sink = harness.Submit(talk.MakeRequest(15, 5));
  ASSERT_TRUE(harness.RunUntilIdle());
  EXPECT_TRUE(absl::IsInvalidArgument(sink->status()));
  EXPECT_THAT(sink->status().message(), HasSubstr("session a 25"));
  EXPECT_EQ(Info(&harness, "a").tokens, 25) << "nothing is lost";
  sink = harness.Submit(talk.MakeRequest(14, 5));
  ASSERT_TRUE(harness.RunUntilIdle());
  EXPECT_EQ(sink->token_ids().size(), 1) << "as far as the context goes";
  EXPECT_THAT(harness.listener.totals().outcomes,
              testing::Contains(testing::Key("NOT_FOUND")));
}

TEST(SessionTest, CreateForkDelete) {
  EngineOptions options = Harness::DefaultOptions();
  options.sessions.max_sessions = 3;
  Harness harness(PuppetOptions{.slots = 2}, options);
  Talk talk(&harness, "a");
  talk.TakeTurn(13, 9);
  const auto create = [&](const char* id) {
    return harness.Ask([&](Sessions& s) { return s.Create(id); }).status();
  };
  EXPECT_TRUE(absl::IsAlreadyExists(create("a")));
  EXPECT_TRUE(harness.Ask([](Sessions& s) { return s.Fork("a", "b"); }).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(
      harness.Ask([](Sessions& s) { return s.Fork("a", "b"); }).status()));
  EXPECT_TRUE(absl::IsNotFound(
      harness.Ask([](Sessions& s) { return s.Fork("x", "c"); }).status()));
  EXPECT_TRUE(create("c").ok());
  EXPECT_TRUE(absl::IsResourceExhausted(create("d")));
  EXPECT_THAT(harness.Ask([](Sessions& s) { return s.List().value(); }),
              SizeIs(3));

  // The fork and its origin go their own ways.
  Request one = talk.MakeRequest(2, 12);
  Request other = one;
  other.session_id = "b";
  auto sink = harness.Submit(one);
  auto fork = harness.Submit(other);
  ASSERT_TRUE(harness.RunUntilIdle());
  EXPECT_EQ(sink->token_ids(), fork->token_ids());
  EXPECT_EQ(fork->start()->cached_tokens, 21);

  EXPECT_TRUE(harness.Ask([](Sessions& s) { return s.Delete("a"); }).ok());
  EXPECT_TRUE(
      absl::IsNotFound(harness.Ask([](Sessions& s) { return s.Delete("a"); })));
  EXPECT_TRUE(create("d").ok());
  EXPECT_EQ(harness.model.open_slots(), 1);
  EXPECT_TRUE(harness.Ask([](Sessions& s) { return s.Delete("b"); }).ok());
  EXPECT_EQ(harness.loop.slots().used(), 0);
  EXPECT_EQ(harness.model.open_slots(), 0);
  EXPECT_THAT(harness.model.faults, IsEmpty());
}

TEST(SessionTest, IdleOnesEndWithTheirTime) {
  EngineOptions options = Harness::DefaultOptions();
  options.sessions.idle_time_to_live = absl::Minutes(10);
  Harness harness({}, options);
  Talk a(&harness, "a"), b(&harness, "b");
  a.TakeTurn(3, 3);
  harness.clock.Advance(absl::Minutes(9));
  b.TakeTurn(3, 3);
  harness.clock.Advance(absl::Minutes(2));
  const auto left = harness.Ask([](Sessions& s) { return s.List().value(); });
  ASSERT_THAT(left, SizeIs(1));
  EXPECT_EQ(left[0].id, "b");
  EXPECT_EQ(harness.loop.slots().used(), 1);
}

// Cancelled after each number of steps: what was begun is kept, and goes on as
// if it had been asked for so.
TEST(SessionTest, GoesOnAfterACancelAtAnyTime) {
  for (int steps = 0; steps < 30; ++steps) {
    Harness harness;
    Talk talk(&harness, "a");
    talk.TakeTurn(5, 6);
    Request request = talk.MakeRequest(25, 30);
    request.id = "cancelled";
    const std::vector<TokenId> prompt = request.prompt;
    auto sink = harness.Submit(std::move(request));
    for (int i = 0; i < steps; ++i) harness.Step();
    harness.inbox.Cancel("cancelled");
    ASSERT_TRUE(harness.RunUntilIdle());
    EXPECT_TRUE(absl::IsCancelled(sink->status()));
    EXPECT_EQ(sink->started(), steps > 0);
    if (sink->started()) {
      talk.Append(prompt);
      talk.Append(sink->token_ids());
    }
    const auto tokens = static_cast<int64_t>(talk.tokens().size());
    EXPECT_EQ(Info(&harness, "a").tokens, tokens);
    talk.TakeTurn(3, 9);
    EXPECT_THAT(harness.model.faults, IsEmpty()) << steps;
  }
}

TEST(SessionTest, GoesOnAfterAFailedStep) {
  Harness harness;
  Talk talk(&harness, "a");
  talk.TakeTurn(12, 6);
  Request request = talk.MakeRequest(3, 20);
  const std::vector<TokenId> prompt = request.prompt;
  auto sink = harness.Submit(std::move(request));
  for (int i = 0; i < 4; ++i) harness.Step();
  harness.model.before_run = [](const StepPlan&) {
    return absl::UnknownError("the device is gone");
  };
  ASSERT_TRUE(harness.RunUntilIdle());
  harness.model.before_run = nullptr;
  EXPECT_TRUE(absl::IsInternal(sink->status()));
  talk.Append(prompt);
  talk.Append(sink->token_ids());
  talk.TakeTurn(3, 9);
  EXPECT_EQ(talk.usage().cached_tokens, 0) << "made from the tokens again";
  EXPECT_THAT(harness.model.faults, IsEmpty());
}

// Sessions that wait keep their pages, and want more: some leave.
TEST(SessionTest, SessionsThatHoldTheHistoryPoolMakeRoomForEachOther) {
  PuppetOptions puppet{.slots = 3};
  puppet.history_tokens = 100;
  Harness harness(puppet);
  Talk a(&harness, "a"), b(&harness, "b"), c(&harness, "c");
  for (Talk* talk : {&a, &b, &c}) talk->TakeTurn(25, 5);
  EXPECT_EQ(harness.model.memory().history_used, 3 * 29);
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  for (Talk* talk : {&a, &b, &c}) {
    sinks.push_back(harness.Submit(talk->MakeRequest(10, 40)));
  }
  ASSERT_TRUE(harness.RunUntilIdle());
  for (const auto& sink : sinks) EXPECT_EQ(sink->token_ids().size(), 40);
  EXPECT_THAT(harness.model.faults, IsEmpty());
}

TEST(SessionTest, CommandsAreRefusedWhileDrainingAndRunBeforeTheEnd) {
  Harness harness;
  bool ran = false;
  ASSERT_TRUE(harness.inbox.Post([&](Sessions&) { ran = true; }).ok());
  harness.inbox.Stop();
  EXPECT_TRUE(absl::IsUnavailable(harness.inbox.Post([](Sessions&) {})));
  Inbox::Mail mail;
  EXPECT_FALSE(harness.inbox.Take(/*busy=*/false, &mail));
  harness.loop.EndAll(&mail, absl::UnavailableError("the engine stops"));
  EXPECT_TRUE(ran);
}

}  // namespace
}  // namespace tlin
