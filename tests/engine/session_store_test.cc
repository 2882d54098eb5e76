// Sessions that outlive the engine: what is stored when, and what comes back.
#include <memory>
#include <string>
#include <vector>

#include "engine/admission_queue.h"
#include "engine/session/read_sessions.h"
#include "engine/session/store_thread.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/harness.h"
#include "tests/testing/fake_session_store.h"

namespace tlin {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::SizeIs;

EngineOptions Memory(int64_t bytes) {
  EngineOptions options = Harness::DefaultOptions();
  options.sessions.state_memory_bytes = bytes;
  return options;
}

// An engine's life over a store that lives longer.
class Life {
 public:
  explicit Life(FakeSessionStore* store, const PuppetOptions& puppet = {},
                const EngineOptions& options = Harness::DefaultOptions())
      : harness(puppet, options),
        thread_(store, &harness.model, &harness.clock,
                [this](ShelfResult result) {
                  harness.inbox.Deliver(std::move(result));
                }) {
    harness.loop.UseShelf(&thread_);
    auto sessions = ReadSessions(harness.model, store, &harness.logger);
    EXPECT_TRUE(sessions.ok()) << sessions.status();
    for (auto& [id, head] : *sessions) {
      EXPECT_TRUE(harness.loop.Restore(id, std::move(head)).ok());
    }
  }

  // All that was begun has arrived at the store, and the engine knows.
  void Settle() {
    EXPECT_TRUE(thread_.WaitUntilIdle(absl::Minutes(1)));
    harness.Step();
  }
  void Create(const std::string& id) {
    EXPECT_TRUE(harness.Ask([&](Sessions& s) { return s.Create(id); }).ok());
  }
  SessionInfo Info(const std::string& id) {
    return harness.Ask([&](Sessions& s) { return s.Get(id).value(); });
  }
  std::shared_ptr<RecordingSink> Submit(const std::string& id, int64_t prompt,
                                        uint64_t salt, int32_t max_new = 6) {
    return harness.SubmitTurn(id, prompt, salt, max_new);
  }
  std::shared_ptr<RecordingSink> Turn(const std::string& id, int64_t prompt,
                                      uint64_t salt) {
    auto sink = Submit(id, prompt, salt);
    harness.Step();
    Settle();  // a state that has to be fetched
    EXPECT_TRUE(harness.RunUntilIdle());
    EXPECT_TRUE(sink->finished().has_value()) << sink->status();
    return sink;
  }
  ListenerTotals totals() { return harness.listener.totals(); }

  Harness harness;

 private:
  StoreThread thread_;
};

// "a", of 11 tokens and 6 more, by an engine that is gone.
void StoreOneSession(FakeSessionStore* store) {
  Life life(store);
  life.Create("a");
  life.Turn("a", 11, 1);
  life.Settle();
}

TEST(SessionStoreTest, ANewEngineGoesOnWithTheSameBits) {
  for (int64_t prompt = 1; prompt <= 20; ++prompt) {
    FakeSessionStore store;
    std::vector<TokenId> stayed;
    {
      Life one(&store);
      one.Create("a");
      one.Turn("a", prompt, 1);
      one.Settle();
      const std::string then = store.snapshots().at("a");
      stayed = one.Turn("a", 5, 2)->token_ids();
      one.Settle();
      store.Set("a", then);
    }
    Life other(&store, PuppetOptions{.slots = 1});
    EXPECT_TRUE(other.Info("a").durable);
    EXPECT_EQ(other.Info("a").tokens, prompt + 6);
    EXPECT_EQ(other.Info("a").residence, SessionInfo::Residence::kStored);
    const auto sink = other.Turn("a", 5, 2);
    EXPECT_EQ(sink->token_ids(), stayed);
    EXPECT_EQ(sink->start()->cached_tokens, prompt + 5)
        << "nothing is read again";
    EXPECT_EQ(other.totals().gets, 1);
    EXPECT_EQ(other.totals().store_errors, 0);
    EXPECT_THAT(other.harness.model.faults, IsEmpty());
  }
}

TEST(SessionStoreTest, EveryChangeIsStoredAndTold) {
  FakeSessionStore store;
  Life life(&store);
  store.Block();
  life.Create("a");
  EXPECT_FALSE(life.Info("a").durable);
  store.Release();
  life.Settle();
  EXPECT_TRUE(life.Info("a").durable);
  auto sink = life.Submit("a", 3, 1, 40);
  life.harness.Step();
  EXPECT_FALSE(life.Info("a").durable) << "a request runs on it";
  EXPECT_TRUE(life.harness.RunUntilIdle());
  life.Settle();
  EXPECT_TRUE(life.Info("a").durable);
  EXPECT_TRUE(
      life.harness.Ask([](Sessions& s) { return s.Fork("a", "b"); }).ok());
  life.Settle();
  EXPECT_TRUE(life.Info("b").durable);
  EXPECT_THAT(store.snapshots(), ElementsAre(Key("a"), Key("b")));
  EXPECT_EQ(store.snapshots().at("a").substr(112),
            store.snapshots().at("b").substr(112));
  EXPECT_TRUE(life.harness.Ask([](Sessions& s) { return s.Delete("a"); }).ok());
  life.Settle();
  EXPECT_THAT(store.snapshots(), ElementsAre(Key("b")));
  EXPECT_EQ(life.totals().deletes, 1);
}

TEST(SessionStoreTest, WhatIsNotUsedInTimeLeavesTheStore) {
  FakeSessionStore store;
  EngineOptions options = Harness::DefaultOptions();
  options.sessions.idle_time_to_live = absl::Minutes(10);
  Life life(&store, {}, options);
  life.Create("a");
  life.Settle();
  life.harness.clock.Advance(absl::Minutes(11));
  EXPECT_THAT(life.harness.Ask([](Sessions& s) { return s.List().value(); }),
              IsEmpty());
  life.Settle();
  EXPECT_THAT(store.snapshots(), IsEmpty());
}

TEST(SessionStoreTest, StatesThatLeftMemoryComeBackFromTheStore) {
  FakeSessionStore store;
  Life life(&store, PuppetOptions{.slots = 1}, Memory(0));
  life.Create("a");
  life.Create("b");
  std::vector<TokenId> tokens = life.Turn("a", 11, 1)->token_ids();
  life.Settle();
  for (int turn = 0; turn < 3; ++turn) {
    life.Turn("b", 2, 2);
    life.Settle();
    const int64_t before = life.Info("a").tokens;
    EXPECT_EQ(life.totals().state.host_state_bytes, 0);
    const auto sink = life.Turn("a", 2, 3 + turn);
    EXPECT_EQ(sink->start()->cached_tokens, before - 1);
    life.Settle();
  }
  EXPECT_EQ(life.totals().gets, 5);
  EXPECT_THAT(life.harness.model.faults, IsEmpty());
}

TEST(SessionStoreTest, WhileOneWaitsForTheStoreOthersRun) {
  FakeSessionStore store;
  StoreOneSession(&store);
  Life life(&store);
  store.Block();
  auto waits = life.Submit("a", 2, 2);
  // More of them than may overtake one for which there is no room.
  for (int i = 0; i < 2 * kMaxOvertakes; ++i) {
    auto runs = life.harness.Submit(Harness::MakeRequest(3, 5));
    EXPECT_TRUE(life.harness.RunUntilIdle());
    EXPECT_TRUE(runs->finished().has_value()) << i;
  }
  EXPECT_FALSE(waits->started());
  EXPECT_FALSE(life.harness.loop.busy()) << "there is nothing to do meanwhile";
  store.Release();
  life.Settle();
  EXPECT_TRUE(life.harness.RunUntilIdle());
  EXPECT_TRUE(waits->finished().has_value());
}

TEST(SessionStoreTest, ACancelWhileItWaitsLeavesTheSessionAsItWas) {
  FakeSessionStore store;
  StoreOneSession(&store);
  Life life(&store);
  store.Block();
  Request request = Harness::MakeRequest(2, 3);
  request.session_id = "a";
  request.id = "gone";
  auto sink = life.harness.Submit(std::move(request));
  life.harness.Step();
  life.harness.inbox.Cancel("gone");
  life.harness.Step();
  EXPECT_TRUE(absl::IsCancelled(sink->status()));
  EXPECT_EQ(life.harness.loop.sessions().loading(), 0);
  store.Release();
  life.Settle();
  EXPECT_EQ(life.Info("a").tokens, 17);
  EXPECT_EQ(life.Turn("a", 3, 4)->start()->cached_tokens, 16);
}

TEST(SessionStoreTest, AStoreThatFailsLosesNothingInMemory) {
  FakeSessionStore store;
  Life life(&store, PuppetOptions{.slots = 1});
  life.Create("a");
  life.Create("b");
  life.Settle();
  store.FailWith(absl::ResourceExhaustedError("the disk is full"));
  life.Turn("a", 11, 1);
  life.Settle();
  EXPECT_FALSE(life.Info("a").durable);
  EXPECT_GT(life.totals().store_errors, 0);
  life.Turn("b", 3, 1);
  const auto sink = life.Turn("a", 2, 2);
  EXPECT_EQ(sink->start()->cached_tokens, 16);
  store.FailWith(absl::OkStatus());
  life.Turn("a", 2, 3);
  life.Settle();
  EXPECT_TRUE(life.Info("a").durable) << "with the next change";
}

TEST(SessionStoreTest, AStateThatCannotBeReadIsMadeFromTheTokens) {
  FakeSessionStore store;
  StoreOneSession(&store);
  std::string snapshot = store.snapshots().at("a");
  Life life(&store);
  snapshot[snapshot.size() - 9] ^= 1;  // in the state
  store.Set("a", snapshot);
  const auto sink = life.Turn("a", 2, 2);
  EXPECT_EQ(sink->start()->cached_tokens, 0);
  EXPECT_EQ(sink->start()->prompt_tokens, 19);
  EXPECT_EQ(life.totals().store_errors, 1);
}

TEST(SessionStoreTest, WhatIsDamagedIsSetAsideAtTheStart) {
  FakeSessionStore store;
  {
    Life life(&store);
    for (const char* id : {"a", "b", "c"}) {
      life.Create(id);
      life.Turn(id, 11, 1);
    }
    life.Settle();
  }
  std::string damaged = store.snapshots().at("b");
  damaged[120] ^= 1;  // in the token ids
  store.Set("b", damaged);
  store.Set("d", "");
  Life life(&store);
  EXPECT_THAT(store.set_aside(), ElementsAre("b", "d"));
  EXPECT_THAT(life.harness.Ask([](Sessions& s) { return s.List().value(); }),
              SizeIs(2));
}

TEST(SessionStoreTest, TheOrderOfUseOutlivesTheEngine) {
  FakeSessionStore store;
  {
    Life life(&store);
    for (const char* id : {"b", "a", "c"}) {
      life.Create(id);
      life.harness.clock.Advance(absl::Seconds(1));
      life.Turn(id, 3, 1);
    }
    life.Settle();
  }
  Life life(&store);
  const auto list =
      life.harness.Ask([](Sessions& s) { return s.List().value(); });
  ASSERT_THAT(list, SizeIs(3));
  EXPECT_EQ(list[0].id + list[1].id + list[2].id, "bac");
}

}  // namespace
}  // namespace tlin
