// Random requests that end in every way: each exactly once, and nothing is left
// behind. Seeded, one thread, a clock that the test moves.
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

constexpr TokenId kEos = 27;

class Storm {
 public:
  explicit Storm(uint32_t seed)
      : random_(seed),
        harness_(Puppet(), Options(), Logits(), kEos),
        fails_(In(0, 1) == 0) {
    harness_.model.before_run = [this](const StepPlan&) {
      return fails_ && In(0, 99) == 0 ? absl::InternalError("a fault")
                                      : absl::OkStatus();
    };
  }

  void Run() {
    for (int step = 0; step < 400; ++step) {
      for (int64_t i = In(0, 9) == 0 ? In(1, 6) : 0; i > 0; --i) Submit();
      if (In(0, 5) == 0) Cancel();
      harness_.Step();
      if (In(0, 60) == 0) harness_.clock.Advance(absl::Milliseconds(In(1, 99)));
      if (!harness_.loop.busy()) ExpectNothingHeld();
      if (step == 350 && In(0, 1) == 0) harness_.inbox.BeginDrain();
    }
    if (In(0, 2) == 0) {
      Submit();
      Stop();
    }
    ASSERT_TRUE(harness_.RunUntilIdle());
    ExpectNothingHeld();
    for (const auto& sink : sinks_) {
      EXPECT_TRUE(sink->ended());
      EXPECT_THAT(sink->faults(), IsEmpty());
    }
    EXPECT_THAT(harness_.model.faults, IsEmpty());
    const ListenerTotals totals = harness_.listener.totals();
    EXPECT_EQ(totals.ends, static_cast<int64_t>(sinks_.size()));
    int64_t outcomes = 0;
    for (const auto& [name, count] : totals.outcomes) outcomes += count;
    EXPECT_EQ(outcomes, totals.ends);
    for (const auto& sink : sinks_) {
      const std::optional<Finished> finished = sink->finished();
      if (!finished.has_value() || finished->usage.generated_tokens == 0) {
        continue;
      }
      EXPECT_EQ(static_cast<int64_t>(sink->token_ids().size()),
                finished->usage.generated_tokens)
          << "every token leaves";
    }
  }

  std::map<std::string, int64_t> outcomes() const {
    return harness_.listener.totals().outcomes;
  }

 private:
  int64_t In(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random_);
  }

  PuppetOptions Puppet() {
    PuppetOptions options;
    options.slots = static_cast<int32_t>(In(1, 6));
    options.generation_window = static_cast<int32_t>(In(0, 20));
    options.max_context_tokens = 200;
    options.max_decode_rows = static_cast<int32_t>(In(1, 6));
    options.fill_granularity = static_cast<int32_t>(In(1, 3));
    options.max_fill_rows = static_cast<int32_t>(In(3, 12));
    options.max_logit_rows = static_cast<int32_t>(In(7, 12));
    options.max_syncs = static_cast<int32_t>(In(1, 3));
    options.history_tokens = In(0, 1) * In(200, 600);
    options.tile_units = In(1, 60);
    return options;
  }

  static EngineOptions Options() {
    EngineOptions options = Harness::DefaultOptions();
    options.max_queued_requests = 20;
    return options;
  }

  static PuppetLogits Logits() {
    return [](absl::Span<const TokenId> history,
              absl::Span<const TokenId> window, absl::Span<float> logits) {
      HashLogits(history, window, logits);
      if (window.size() == 3 && window[0] == window[2]) logits[0] = NAN;
    };
  }

  void Submit() {
    Request request =
        Harness::MakeRequest(In(1, 120), static_cast<int32_t>(In(1, 60)),
                             static_cast<uint64_t>(sinks_.size()));
    request.id = absl::StrCat("storm-", sinks_.size());
    if (In(0, 3) == 0) {
      request.kind = Request::Kind::kScore;
      request.prompt.push_back(1);
    }
    if (In(0, 3) == 0) request.stopping.stop = {"ab", "q", "xyz"};
    if (In(0, 3) == 0) request.stopping.stop_token_ids = {5, 6};
    if (In(0, 3) == 0) request.output.logprobs = 2;
    if (In(0, 3) == 0) request.sampling.repetition_penalty = 1.3f;
    request.stopping.ignore_eos = In(0, 1) == 0;
    request.priority = static_cast<int32_t>(In(-1, 1));
    if (In(0, 2) == 0) {
      request.deadline = harness_.clock.Now() + absl::Milliseconds(In(1, 150));
    }
    auto sink = harness_.Submit(std::move(request));
    if (sink != nullptr) {
      sinks_.push_back(std::move(sink));
    } else {
      EXPECT_TRUE(absl::IsResourceExhausted(harness_.refusal) ||
                  absl::IsUnavailable(harness_.refusal))
          << harness_.refusal;
    }
  }

  void Cancel() {
    harness_.inbox.Cancel(
        absl::StrCat("storm-", In(0, static_cast<int64_t>(sinks_.size()))));
  }

  void Stop() {
    harness_.inbox.Stop();
    Inbox::Mail mail;
    EXPECT_FALSE(harness_.inbox.Take(true, &mail));
    harness_.loop.EndAll(&mail, absl::UnavailableError("the engine stops"));
  }

  void ExpectNothingHeld() {
    ASSERT_EQ(harness_.loop.slots().free(), harness_.loop.slots().total());
    ASSERT_EQ(harness_.model.open_slots(), 0);
    ASSERT_EQ(harness_.model.memory().history_used, 0);
    ASSERT_EQ(harness_.model.syncs_in_flight(), 0);
  }

  std::mt19937_64 random_;
  Harness harness_;
  const bool fails_;
  std::vector<std::shared_ptr<RecordingSink>> sinks_;
};

TEST(StormTest, EveryRequestEndsOnceAndNothingIsLeft) {
  std::map<std::string, int64_t> outcomes;
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    Storm storm(seed);
    storm.Run();
    if (HasFatalFailure()) FAIL() << "seed " << seed;
    for (const auto& [name, count] : storm.outcomes()) outcomes[name] += count;
  }
  for (const char* name : {"eos", "stop", "length", "deadline", "CANCELLED",
                           "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE"}) {
    EXPECT_GT(outcomes[name], 20) << name;
  }
}

}  // namespace
}  // namespace tlin
