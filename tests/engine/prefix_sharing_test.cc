// Requests with equal prefixes: one sync, and the text of a cold run.
#include <memory>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/harness.h"

namespace tlin {
namespace {

using ::testing::IsEmpty;
using Sink = std::shared_ptr<RecordingSink>;

constexpr int64_t kManyBytes = 1 << 20;

EngineOptions Sharing(int64_t bytes = kManyBytes) {
  EngineOptions options = Harness::DefaultOptions();
  options.prefix_cache_bytes = bytes;
  return options;
}

// Windows have 8 tokens: 40 of the prompt are history, and 5 are not.
Request Prompt(uint64_t seed = 1) {
  Request request = Harness::MakeRequest(45, 6);
  request.sampling.seed = seed;
  return request;
}

void ExpectColdText(const Sink& sink, Request request,
                    const PuppetOptions& puppet = {}) {
  ASSERT_TRUE(sink->finished().has_value()) << sink->status();
  EXPECT_EQ(sink->token_ids(), Harness::Alone(puppet, std::move(request)));
}

TEST(PrefixSharingTest, ARetrySyncsNothing) {
  Harness harness({}, Sharing());
  const Sink first = harness.Submit(Prompt());
  ASSERT_TRUE(harness.RunUntilIdle());
  EXPECT_EQ(first->start()->cached_tokens, 0);
  EXPECT_EQ(harness.listener.totals().synced_tokens, 40 + 48);

  const Sink retry = harness.Submit(Prompt(2));
  ASSERT_TRUE(harness.RunUntilIdle());
  ExpectColdText(retry, Prompt(2));
  EXPECT_EQ(retry->start()->cached_tokens, 40);
  const Usage usage = retry->finished()->usage;
  EXPECT_EQ(usage.cached_tokens, 40);
  EXPECT_EQ(usage.prompt_tokens, 45);
  // Its own tokens, made with another seed, are no other's.
  EXPECT_EQ(usage.syncs, 1);
  EXPECT_EQ(harness.listener.totals().synced_tokens, 40 + 48 + 48);
  const EngineState state = harness.listener.totals().state;
  EXPECT_EQ(state.prefix_cache_queries, 4);
  EXPECT_EQ(state.prefix_cache_hits, 1);
  EXPECT_EQ(state.prefix_cache_bytes, (40 + 48 + 48) * 4);
  EXPECT_THAT(harness.model.faults, IsEmpty());
}

TEST(PrefixSharingTest, AResentConversationFindsTheWindowsThatItMade) {
  Harness harness({}, Sharing());
  const Sink first = harness.Submit(Prompt());
  ASSERT_TRUE(harness.RunUntilIdle());
  // Prompt, answer and a short question: its history ends where one ended.
  Request resent = Prompt();
  for (const TokenId token : first->token_ids()) {
    resent.prompt.push_back(token);
  }
  resent.prompt.push_back(3);
  const Sink second = harness.Submit(resent);
  ASSERT_TRUE(harness.RunUntilIdle());
  EXPECT_EQ(second->finished()->usage.cached_tokens, 48);
  ExpectColdText(second, resent);
}

TEST(PrefixSharingTest, OneOfManySyncsAndTheOthersWait) {
  PuppetOptions puppet;
  puppet.slots = 6;
  Harness harness(puppet, Sharing());
  std::vector<Sink> sinks;
  for (uint64_t i = 0; i < 5; ++i) sinks.push_back(harness.Submit(Prompt(i)));
  // Another one goes its own way meanwhile.
  const Sink other = harness.Submit(Harness::MakeRequest(30, 3, 9));
  harness.Step();
  EXPECT_EQ(harness.model.syncs_in_flight(), 2);
  ASSERT_TRUE(harness.RunUntilIdle());
  for (uint64_t i = 0; i < 5; ++i) {
    ExpectColdText(sinks[i], Prompt(i));
    const Usage usage = sinks[i]->finished()->usage;
    EXPECT_EQ(usage.cached_tokens, i == 0 ? 0 : 40) << i;
    EXPECT_EQ(usage.syncs, i == 0 ? 2 : 1) << "one of its own tokens";
    EXPECT_GT(sinks[i]->finished()->timing.sync, absl::ZeroDuration());
  }
  ExpectColdText(other, Harness::MakeRequest(30, 3, 9));
  EXPECT_EQ(harness.listener.totals().state.prefix_cache_hits, 4);
  EXPECT_THAT(harness.model.faults, IsEmpty());
}

TEST(PrefixSharingTest, WhenTheOneThatSyncsEndsTheNextOneDoes) {
  for (const bool fails : {false, true}) {
    Harness harness({}, Sharing());
    std::vector<Sink> sinks;
    for (uint64_t i = 0; i < 3; ++i) {
      Request request = Prompt(i);
      request.id = absl::StrCat(i);
      sinks.push_back(harness.Submit(std::move(request)));
    }
    harness.Step();
    ASSERT_EQ(harness.model.syncs_in_flight(), 1);
    if (fails) {
      harness.model.before_run = [](const StepPlan&) {
        return absl::InternalError("a fault");
      };
      harness.Step();
      harness.model.before_run = nullptr;
    } else {
      harness.inbox.Cancel("0");
    }
    ASSERT_TRUE(harness.RunUntilIdle());
    EXPECT_FALSE(sinks[0]->finished().has_value());
    ExpectColdText(sinks[1], Prompt(1));
    ExpectColdText(sinks[2], Prompt(2));
    EXPECT_EQ(sinks[1]->finished()->usage.cached_tokens, 0);
    EXPECT_EQ(sinks[2]->finished()->usage.cached_tokens, 40);
    EXPECT_EQ(harness.loop.slots().used(), 0);
    EXPECT_THAT(harness.model.faults, IsEmpty());
  }
}

TEST(PrefixSharingTest, AWaitingOneMayEnd) {
  Harness harness({}, Sharing());
  const Sink first = harness.Submit(Prompt(1));
  Request waits = Prompt(2);
  waits.id = "waits";
  const Sink second = harness.Submit(waits);
  harness.Step();
  harness.inbox.Cancel("waits");
  harness.Step();
  EXPECT_TRUE(second->ended());
  EXPECT_EQ(harness.loop.slots().used(), 1);
  ASSERT_TRUE(harness.RunUntilIdle());
  ExpectColdText(first, Prompt(1));
}

TEST(PrefixSharingTest, ARequestMayKeepApart) {
  Harness harness({}, Sharing());
  Request apart = Prompt();
  apart.bypass_prefix_cache = true;
  for (int i = 0; i < 2; ++i) {
    const Sink sink = harness.Submit(apart);
    ASSERT_TRUE(harness.RunUntilIdle());
    EXPECT_EQ(sink->finished()->usage.cached_tokens, 0);
  }
  EXPECT_EQ(harness.listener.totals().state.prefix_cache_bytes, 0) << "given";
  harness.Submit(Prompt());
  ASSERT_TRUE(harness.RunUntilIdle());
  const Sink taken = harness.Submit(apart);
  ASSERT_TRUE(harness.RunUntilIdle());
  EXPECT_EQ(taken->finished()->usage.cached_tokens, 0) << "taken";
  EXPECT_EQ(harness.listener.totals().state.prefix_cache_hits, 0);
}

TEST(PrefixSharingTest, WithoutRoomEverybodySyncs) {
  // A state of 40 tokens has 160 bytes.
  for (const int64_t bytes : {0, 159}) {
    Harness harness({}, Sharing(bytes));
    std::vector<Sink> sinks;
    for (uint64_t i = 0; i < 3; ++i) sinks.push_back(harness.Submit(Prompt(i)));
    ASSERT_TRUE(harness.RunUntilIdle());
    for (uint64_t i = 0; i < 3; ++i) ExpectColdText(sinks[i], Prompt(i));
    EXPECT_EQ(harness.listener.totals().state.prefix_cache_queries, 0);
    EXPECT_EQ(harness.model.saves, 0);
  }
}

TEST(PrefixSharingTest, ASessionTakesASharedState) {
  Harness harness({}, Sharing());
  harness.Submit(Prompt());
  ASSERT_TRUE(harness.RunUntilIdle());
  ASSERT_TRUE(
      harness.Ask([](Sessions& sessions) { return sessions.Create("a"); })
          .ok());
  // Its own state is of fewer tokens, and leaves the slot.
  Request begin = Prompt();
  begin.session_id = "a";
  begin.prompt.resize(11);
  begin.stopping.max_new_tokens = 1;
  const Sink before = harness.Submit(begin);
  ASSERT_TRUE(harness.RunUntilIdle());
  Request more = Prompt();
  more.session_id = "a";
  more.prompt.erase(more.prompt.begin(), more.prompt.begin() + 12);
  Request cold = Prompt();
  cold.prompt[11] = before->token_ids()[0];
  // What the retry of the whole would find, this must not: a token differs.
  const Sink differs = harness.Submit(more);
  ASSERT_TRUE(harness.RunUntilIdle());
  ExpectColdText(differs, cold);
  EXPECT_EQ(differs->finished()->usage.cached_tokens, 11);
  // A cold request with the session's tokens finds the session's state.
  const Sink same = harness.Submit(cold);
  ASSERT_TRUE(harness.RunUntilIdle());
  ExpectColdText(same, cold);
  EXPECT_EQ(same->finished()->usage.cached_tokens, 40);
  EXPECT_THAT(harness.model.faults, IsEmpty());
}

// Prompts of few kinds and lengths, cancels, failures, a cache for some states.
TEST(PrefixSharingTest, TextsAreRightInAStorm) {
  int64_t hits = 0;
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    std::mt19937_64 random(seed);
    const auto in = [&random](int64_t low, int64_t high) {
      return std::uniform_int_distribution<int64_t>(low, high)(random);
    };
    PuppetOptions puppet;
    puppet.slots = static_cast<int32_t>(in(1, 5));
    puppet.generation_window = static_cast<int32_t>(in(1, 12));
    puppet.max_syncs = static_cast<int32_t>(in(1, 3));
    puppet.tile_units = in(1, 60);
    Harness harness(puppet, Sharing(in(100, 1000)));
    const bool fails = in(0, 2) == 0;
    harness.model.before_run = [&](const StepPlan&) {
      return fails && in(0, 99) == 0 ? absl::InternalError("a fault")
                                     : absl::OkStatus();
    };
    std::vector<std::pair<Request, Sink>> all;
    for (int step = 0; step < 200; ++step) {
      if (in(0, 2) == 0) {
        Request request = Harness::MakeRequest(in(1, 3) * 20 + in(0, 2),
                                               static_cast<int32_t>(in(1, 20)),
                                               static_cast<uint64_t>(in(1, 2)));
        request.id = absl::StrCat(all.size());
        request.bypass_prefix_cache = in(0, 9) == 0;
        const Sink sink = harness.Submit(request);
        ASSERT_NE(sink, nullptr);
        all.emplace_back(std::move(request), sink);
      }
      if (in(0, 9) == 0 && !all.empty()) {
        harness.inbox.Cancel(
            absl::StrCat(in(0, static_cast<int64_t>(all.size()) - 1)));
      }
      harness.Step();
      ASSERT_LE(harness.listener.totals().state.prefix_cache_bytes, 1000);
    }
    ASSERT_TRUE(harness.RunUntilIdle());
    for (const auto& [request, sink] : all) {
      ASSERT_TRUE(sink->ended());
      if (sink->finished().has_value()) ExpectColdText(sink, request, puppet);
    }
    EXPECT_THAT(harness.model.faults, IsEmpty());
    EXPECT_EQ(harness.loop.slots().used(), 0);
    EXPECT_EQ(harness.model.open_slots(), 0);
    hits += harness.listener.totals().state.prefix_cache_hits;
  }
  EXPECT_GT(hits, 500);
}

}  // namespace
}  // namespace tlin
