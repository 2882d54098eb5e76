// Every way in which a request ends, in every phase of its life: one terminal
// event, and after the step all that it held is free.
#include <functional>
#include <memory>
#include <ostream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/harness.h"

namespace tlin {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

enum class Phase { kWaiting, kSyncing, kFilling, kDecoding, kSyncingAgain };
enum class Way { kCancel, kInterrupt, kDeadline, kFailedStep, kStop };

const char* PhaseName(Phase phase) {
  switch (phase) {
    case Phase::kWaiting:
      return "Waiting";
    case Phase::kSyncing:
      return "Syncing";
    case Phase::kFilling:
      return "Filling";
    case Phase::kDecoding:
      return "Decoding";
    case Phase::kSyncingAgain:
      return "SyncingAgain";
  }
  return "";
}

const char* WayName(Way way) {
  switch (way) {
    case Way::kCancel:
      return "Cancel";
    case Way::kInterrupt:
      return "Interrupt";
    case Way::kDeadline:
      return "Deadline";
    case Way::kFailedStep:
      return "FailedStep";
    case Way::kStop:
      return "Stop";
  }
  return "";
}

class EndingTest : public ::testing::TestWithParam<std::tuple<Phase, Way>> {
 protected:
  EndingTest() : harness_(Options()) {}

  static PuppetOptions Options() {
    PuppetOptions options;
    options.slots = 1;
    options.generation_window = 32;
    options.max_fill_rows = 8;
    options.history_tokens = 1000;
    return options;
  }

  // A request whose prompt is synced in ten steps and filled in four.
  static Request LongRequest() {
    Request request = Harness::MakeRequest(3 * 32 + 30, 60, 2);
    request.id = "it";
    request.deadline = absl::UnixEpoch() + absl::Hours(2);
    return request;
  }

  // Steps until the request is in the middle of `phase`.
  void Reach(Phase phase) {
    if (phase == Phase::kWaiting) {
      blocker_ = harness_.Submit(Harness::MakeRequest(1, 200, 3));
      harness_.Step();
    }
    sink_ = harness_.Submit(LongRequest());
    ASSERT_NE(sink_, nullptr);
    for (int i = 0; i < 60; ++i) {
      harness_.Step();
      const size_t tokens = sink_->token_ids().size();
      const bool syncing = harness_.model.syncs_in_flight() > 0;
      switch (phase) {
        case Phase::kWaiting:
          ASSERT_FALSE(sink_->started());
          return;
        case Phase::kSyncing:
          if (syncing && i > 2) return;
          break;
        case Phase::kFilling:
          if (!syncing && harness_.model.Extent(0).window_tokens >= 8) return;
          break;
        case Phase::kDecoding:
          if (!syncing && tokens >= 2) return;
          break;
        case Phase::kSyncingAgain:
          if (syncing && tokens > 0) return;
          break;
      }
    }
    FAIL() << "never reached";
  }

  void EndBy(Way way) {
    Inbox::Mail none;
    switch (way) {
      case Way::kCancel:
        harness_.inbox.Cancel("it");
        harness_.inbox.Interrupt("it");  // changes nothing any more
        break;
      case Way::kInterrupt:
        harness_.inbox.Interrupt("it");
        break;
      case Way::kDeadline:
        harness_.clock.Advance(absl::Hours(1));
        break;
      case Way::kFailedStep:
        harness_.model.before_run = [](const StepPlan&) {
          return absl::UnknownError("the device is gone");
        };
        break;
      case Way::kStop:
        harness_.loop.EndAll(&none, absl::UnavailableError("the engine stops"));
        return;
    }
    harness_.Step();
    harness_.model.before_run = nullptr;
  }

  Harness harness_;
  std::shared_ptr<RecordingSink> sink_;
  std::shared_ptr<RecordingSink> blocker_;
};

TEST_P(EndingTest, EndsOnceAndFreesWhatItHeldWithinAStep) {
  const auto [phase, way] = GetParam();
  ASSERT_NO_FATAL_FAILURE(Reach(phase));
  const size_t tokens = sink_->token_ids().size();
  EndBy(way);
  if (phase == Phase::kWaiting && way == Way::kFailedStep) {
    // Not in the plan that failed: it takes the slot of the one that was.
    EXPECT_FALSE(sink_->ended());
    EXPECT_TRUE(blocker_->ended());
    ASSERT_TRUE(harness_.RunUntilIdle());
    EXPECT_EQ(sink_->finished()->reason, FinishReason::kLength);
    return;
  }
  EXPECT_TRUE(sink_->ended());
  EXPECT_EQ(sink_->token_ids().size(), tokens) << "no token after the end";
  if (phase != Phase::kWaiting || way == Way::kStop) {
    EXPECT_EQ(harness_.model.open_slots(), 0);
    EXPECT_EQ(harness_.loop.slots().used(), 0);
    EXPECT_EQ(harness_.model.memory().history_used, 0);
    EXPECT_EQ(harness_.model.syncs_in_flight(), 0);
    EXPECT_FALSE(harness_.loop.busy());
    EXPECT_TRUE(harness_.inbox.WaitUntilIdle(absl::ZeroDuration()));
  }
  switch (way) {
    case Way::kCancel:
      EXPECT_TRUE(absl::IsCancelled(sink_->status()));
      break;
    case Way::kInterrupt:
      ASSERT_TRUE(sink_->finished().has_value()) << sink_->status();
      EXPECT_EQ(sink_->finished()->reason, FinishReason::kInterrupted);
      EXPECT_TRUE(sink_->started());
      break;
    case Way::kDeadline:
      if (tokens == 0) {
        EXPECT_TRUE(absl::IsDeadlineExceeded(sink_->status()));
      } else {
        EXPECT_EQ(sink_->finished()->reason, FinishReason::kDeadline);
      }
      break;
    case Way::kFailedStep:
      EXPECT_TRUE(absl::IsInternal(sink_->status()));
      EXPECT_THAT(std::string(sink_->status().message()),
                  HasSubstr("request it: the device is gone"));
      break;
    case Way::kStop:
      EXPECT_TRUE(absl::IsUnavailable(sink_->status()));
      break;
  }
  ASSERT_TRUE(harness_.RunUntilIdle());
  // The slot serves on.
  Request again = LongRequest();
  again.deadline = absl::InfiniteFuture();
  auto next = harness_.Submit(again);
  ASSERT_NE(next, nullptr);
  ASSERT_TRUE(harness_.RunUntilIdle());
  EXPECT_EQ(next->token_ids(), Harness::Alone(Options(), again));
  EXPECT_THAT(sink_->faults(), IsEmpty());
  EXPECT_THAT(harness_.model.faults, IsEmpty());
  EXPECT_EQ(harness_.listener.totals().ends, harness_.requests + 2);
}

INSTANTIATE_TEST_SUITE_P(
    All, EndingTest,
    ::testing::Combine(::testing::Values(Phase::kWaiting, Phase::kSyncing,
                                         Phase::kFilling, Phase::kDecoding,
                                         Phase::kSyncingAgain),
                       ::testing::Values(Way::kCancel, Way::kInterrupt,
                                         Way::kDeadline, Way::kFailedStep,
                                         Way::kStop)),
    [](const auto& info) {
      return absl::StrCat(PhaseName(std::get<0>(info.param)),
                          WayName(std::get<1>(info.param)));
    });

TEST(CancelTest, InTheMiddleOfAStepCountsTheTokenAsWasted) {
  Harness harness;
  Request request = Harness::MakeRequest(3, 50);
  request.id = "gone";
  auto sink = harness.Submit(request);
  for (int i = 0; i < 3; ++i) harness.Step();
  const size_t tokens = sink->token_ids().size();
  harness.model.before_run = [&harness](const StepPlan&) {
    harness.inbox.Cancel("gone");
    return absl::OkStatus();
  };
  harness.Step();
  EXPECT_TRUE(absl::IsCancelled(sink->status()));
  EXPECT_EQ(sink->token_ids().size(), tokens);
  EXPECT_EQ(harness.listener.totals().wasted_tokens, 1);
  EXPECT_EQ(harness.loop.slots().used(), 0);
}

TEST(FailureTest, OnlyThePlanThatFailedEnds) {
  PuppetOptions options;
  options.max_decode_rows = 2;
  Harness harness(options);
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  for (uint64_t i = 0; i < 4; ++i) {
    sinks.push_back(harness.Submit(Harness::MakeRequest(2, 20, i)));
  }
  for (int i = 0; i < 6; ++i) harness.Step();
  harness.model.before_run = [](const StepPlan&) {
    return absl::ResourceExhaustedError("no memory");
  };
  harness.Step();
  harness.model.before_run = nullptr;
  ASSERT_TRUE(harness.RunUntilIdle());
  int failed = 0;
  for (uint64_t i = 0; i < 4; ++i) {
    if (!sinks[i]->status().ok()) {
      ++failed;
      continue;
    }
    EXPECT_EQ(sinks[i]->token_ids(),
              Harness::Alone(options, Harness::MakeRequest(2, 20, i)));
  }
  EXPECT_EQ(failed, 2);
  EXPECT_THAT(harness.model.faults, IsEmpty());
}

TEST(FailureTest, LogitsThatAreNotFiniteEndTheirRequestAlone) {
  const auto poisoned = [](absl::Span<const TokenId> history,
                           absl::Span<const TokenId> window,
                           absl::Span<float> logits) {
    HashLogits(history, window, logits);
    // Token 25 stands in one of the prompts only.
    if (window[0] == 25 && window.size() > 4) logits[3] = NAN;
  };
  Harness harness({}, Harness::DefaultOptions(), poisoned);
  Request bad;
  bad.prompt = {25, 1};
  auto failed = harness.Submit(bad);
  Request good = Harness::MakeRequest(2, 20);
  good.prompt = {1, 2};
  auto served = harness.Submit(good);
  ASSERT_TRUE(harness.RunUntilIdle());
  EXPECT_TRUE(absl::IsInternal(failed->status()));
  EXPECT_THAT(std::string(failed->status().message()), HasSubstr("not finite"));
  EXPECT_EQ(failed->token_ids().size(), 3u) << "what was good is there";
  EXPECT_EQ(served->finished()->reason, FinishReason::kLength);
}

}  // namespace
}  // namespace tlin
