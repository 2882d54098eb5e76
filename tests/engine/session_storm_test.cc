// Random turns, forks, deletes, cancels and failures of sessions that are more
// than the slots: accounts hold at every step, and every text is right.
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/harness.h"

namespace tlin {
namespace {

using ::testing::IsEmpty;

class SessionStorm {
 public:
  explicit SessionStorm(uint32_t seed)
      : random_(seed), puppet_(Puppet()), harness_(puppet_, Options()) {
    const bool fails = In(0, 2) == 0;
    harness_.model.before_run = [this, fails](const StepPlan&) {
      return fails && In(0, 99) == 0 ? absl::InternalError("a fault")
                                     : absl::OkStatus();
    };
  }

  void Run() {
    for (int step = 0; step < 300; ++step) {
      if (In(0, 3) == 0) Change();
      if (In(0, 2) == 0) TakeTurn();
      if (In(0, 9) == 0 && !turns_.empty()) {
        harness_.inbox.Cancel(absl::StrCat("turn-", In(0, turns_.size() - 1)));
      }
      harness_.Step();
      if (!harness_.loop.busy()) ExpectAccountsHold();
    }
    ASSERT_TRUE(harness_.RunUntilIdle());
    ExpectAccountsHold();
    Settle();
    EXPECT_THAT(harness_.model.faults, IsEmpty());
    // Each session still is what it was told: one more turn shows it.
    harness_.model.before_run = nullptr;
    for (auto& [id, tokens] : sessions_) {
      if (tokens.size() + 12 > 150) continue;
      Request request = Harness::MakeRequest(2, 9);
      request.session_id = id;
      Request cold = request;
      cold.session_id.clear();
      cold.prompt = tokens;
      cold.prompt.insert(cold.prompt.end(), request.prompt.begin(),
                         request.prompt.end());
      auto sink = harness_.Submit(std::move(request));
      ASSERT_TRUE(harness_.RunUntilIdle());
      EXPECT_EQ(sink->token_ids(), Harness::Alone(puppet_, cold)) << id;
      ++compared;
    }
    for (const auto& id : Ids()) {
      EXPECT_TRUE(harness_.Ask([&](Sessions& s) { return s.Delete(id); }).ok());
    }
    EXPECT_EQ(harness_.loop.slots().used(), 0);
    EXPECT_EQ(harness_.model.open_slots(), 0);
    EXPECT_EQ(harness_.model.memory().history_used, 0);
    const EngineState state = harness_.listener.totals().state;
    EXPECT_EQ(state.host_token_bytes, 0);
    EXPECT_EQ(state.host_state_bytes, 0);
  }

  int compared = 0;

 private:
  struct Turn {
    std::string session;
    std::vector<TokenId> prompt;
    std::shared_ptr<RecordingSink> sink;
    bool settled = false;
  };

  int64_t In(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random_);
  }

  PuppetOptions Puppet() {
    PuppetOptions options;
    options.slots = static_cast<int32_t>(In(1, 4));
    options.generation_window = static_cast<int32_t>(In(0, 12));
    options.max_context_tokens = 150;
    options.max_decode_rows = static_cast<int32_t>(In(1, 4));
    options.max_syncs = static_cast<int32_t>(In(1, 3));
    options.history_tokens = In(0, 1) * In(150, 500);
    options.tile_units = In(1, 60);
    return options;
  }

  EngineOptions Options() {
    EngineOptions options = Harness::DefaultOptions();
    options.max_queued_requests = 20;
    options.sessions.max_sessions = 8;
    options.sessions.state_memory_bytes = In(0, 2) * 1000;
    return options;
  }

  std::vector<std::string> Ids() const {
    std::vector<std::string> ids;
    for (const auto& [id, tokens] : sessions_) ids.push_back(id);
    return ids;
  }

  std::string Any() {
    const std::vector<std::string> ids = Ids();
    return ids.empty() ? "nobody"
                       : ids[static_cast<size_t>(In(0, ids.size() - 1))];
  }

  // Of turns that ended: their tokens are their sessions'.
  void Settle() {
    for (Turn& turn : turns_) {
      if (turn.settled || !turn.sink->ended()) continue;
      turn.settled = true;
      if (!turn.sink->started()) continue;
      std::vector<TokenId>& tokens = sessions_.at(turn.session);
      for (const auto& more : {turn.prompt, turn.sink->token_ids()}) {
        tokens.insert(tokens.end(), more.begin(), more.end());
      }
    }
  }

  void Change() {
    const std::string id = absl::StrCat("s", ++names_);
    const std::string from = Any();
    switch (In(0, 2)) {
      case 0:
        if (harness_.Ask([&](Sessions& s) { return s.Create(id); }).ok()) {
          sessions_[id] = {};
        }
        return;
      case 1: {
        const bool made =
            harness_.Ask([&](Sessions& s) { return s.Fork(from, id); }).ok();
        Settle();
        if (made) sessions_[id] = sessions_.at(from);
        return;
      }
      default: {
        const absl::Status gone =
            harness_.Ask([&](Sessions& s) { return s.Delete(from); });
        Settle();
        if (gone.ok()) sessions_.erase(from);
      }
    }
  }

  void TakeTurn() {
    Request request = Harness::MakeRequest(
        In(1, 30), static_cast<int32_t>(In(1, 20)), turns_.size());
    request.id = absl::StrCat("turn-", turns_.size());
    request.session_id = Any();
    if (In(0, 4) == 0) {
      request.deadline = harness_.clock.Now() + absl::Milliseconds(In(1, 40));
    }
    Turn turn;
    turn.session = request.session_id;
    turn.prompt = request.prompt;
    turn.sink = harness_.Submit(std::move(request));
    if (turn.sink != nullptr) turns_.push_back(std::move(turn));
  }

  void ExpectAccountsHold() {
    Settle();
    const SessionKeeper& keeper = harness_.loop.sessions();
    const SessionKeeper::Counts counts = keeper.counts();
    ASSERT_EQ(keeper.slots().used(), keeper.kept_slots());
    ASSERT_EQ(counts.idle, keeper.kept_slots());
    ASSERT_EQ(counts.active, 0);
    ASSERT_EQ(counts.idle + counts.stored,
              static_cast<int64_t>(sessions_.size()));
    ASSERT_EQ(harness_.model.open_slots(), keeper.kept_slots());
    ASSERT_EQ(harness_.model.syncs_in_flight(), 0);
    int64_t tokens = 0;
    for (const auto& [id, held] : sessions_) {
      tokens += static_cast<int64_t>(held.size());
    }
    ASSERT_EQ(counts.token_bytes, tokens * 4);
  }

  std::mt19937_64 random_;
  const PuppetOptions puppet_;
  Harness harness_;
  std::map<std::string, std::vector<TokenId>> sessions_;
  std::vector<Turn> turns_;
  int names_ = 0;
};

TEST(SessionStormTest, AccountsHoldAndTextsAreRight) {
  int compared = 0;
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    SessionStorm storm(seed);
    storm.Run();
    if (HasFatalFailure()) FAIL() << "seed " << seed;
    compared += storm.compared;
  }
  EXPECT_GT(compared, 60);
}

}  // namespace
}  // namespace tlin
