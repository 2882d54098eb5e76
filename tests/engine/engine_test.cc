// The facade, with its own thread and callers on others.
#include "engine/engine.h"

#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/harness.h"

namespace tlin {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class EngineTest : public ::testing::Test {
 protected:
  explicit EngineTest(const PuppetOptions& puppet = {})
      : model_(puppet), tokenizer_(TinyTokenizer::Letters()) {
    EngineOptions options = Harness::DefaultOptions();
    options.max_queued_requests = 64;
    engine_ = Engine::Create(options, &model_, &tokenizer_, std::nullopt,
                             &listener_, &clock_, &logger_);
  }
  ~EngineTest() override {
    engine_->Stop();
    EXPECT_THAT(model_.faults, IsEmpty());
    EXPECT_EQ(model_.open_slots(), 0);
  }

  std::shared_ptr<RecordingSink> Submit(const std::string& id,
                                        int32_t max_new = 5) {
    Request request = Harness::MakeRequest(3, max_new);
    request.id = id;
    auto sink = std::make_shared<RecordingSink>();
    refusal_ = engine_->Submit(std::move(request), sink);
    return refusal_.ok() ? sink : nullptr;
  }

  FakeClock clock_;
  PuppetModel model_;
  TinyTokenizer tokenizer_;
  RecordingListener listener_;
  SilentLogger logger_;
  std::unique_ptr<Engine> engine_;
  absl::Status refusal_;
};

TEST_F(EngineTest, ServesAndIsIdleAgain) {
  engine_->Start();
  auto sink = Submit("a");
  ASSERT_TRUE(sink->WaitForEnd());
  EXPECT_EQ(sink->token_ids().size(), 5u);
  ASSERT_TRUE(engine_->WaitUntilIdle(absl::Seconds(60)));
  EXPECT_EQ(engine_->TimeSinceProgress(), absl::ZeroDuration());
  EXPECT_EQ(listener_.totals().state.running, 0);
  EXPECT_EQ(listener_.totals().state.slots_used, 0);
}

TEST_F(EngineTest, RefusesWithoutCallingTheSink) {
  engine_->Start();
  auto sink = std::make_shared<RecordingSink>();
  Request request = Harness::MakeRequest(3, 5);
  request.sampling.temperature = -1;
  EXPECT_TRUE(absl::IsInvalidArgument(engine_->Submit(request, sink)));
  request = Harness::MakeRequest(3, 5);
  request.deadline = clock_.Now();
  EXPECT_TRUE(absl::IsDeadlineExceeded(engine_->Submit(request, sink)));
  engine_->BeginDrain();
  request = Harness::MakeRequest(3, 5);
  EXPECT_TRUE(absl::IsUnavailable(engine_->Submit(request, sink)));
  EXPECT_FALSE(sink->started());
  EXPECT_FALSE(sink->ended());
}

class PagedEngineTest : public EngineTest {
 protected:
  static PuppetOptions Paged() {
    PuppetOptions options;
    options.history_tokens = 50;
    return options;
  }
  PagedEngineTest() : EngineTest(Paged()) {}
};

TEST_F(PagedEngineTest, RefusesWhatThePoolCouldNeverHold) {
  EXPECT_NE(Submit("fits", 47), nullptr);
  EXPECT_EQ(Submit("does not", 48), nullptr);
  EXPECT_TRUE(absl::IsResourceExhausted(refusal_));
  EXPECT_THAT(std::string(refusal_.message()), HasSubstr("51 tokens"));
}

TEST_F(EngineTest, StopEndsAllThatIsLeft) {
  engine_->Start();
  model_.Block();
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  for (int i = 0; i < 10; ++i) {
    sinks.push_back(Submit(absl::StrCat("r", i), 4000));
  }
  ASSERT_TRUE(model_.WaitUntilBlocked());
  std::thread stopper([this] { engine_->Stop(); });
  model_.Release();
  stopper.join();
  engine_->Stop();
  for (const auto& sink : sinks) {
    EXPECT_TRUE(absl::IsUnavailable(sink->status())) << sink->status();
    EXPECT_THAT(sink->faults(), IsEmpty());
  }
  EXPECT_EQ(Submit("late"), nullptr);
  EXPECT_TRUE(absl::IsUnavailable(refusal_));
}

TEST_F(EngineTest, StopWithoutStartEndsWhatWasSubmitted) {
  auto sink = Submit("a");
  engine_->Stop();
  EXPECT_TRUE(absl::IsUnavailable(sink->status()));
}

TEST_F(EngineTest, DrainFinishesWhatWasAccepted) {
  engine_->Start();
  auto sink = Submit("a", 300);
  engine_->BeginDrain();
  EXPECT_EQ(Submit("b"), nullptr);
  EXPECT_TRUE(engine_->WaitUntilIdle(absl::Seconds(60)));
  EXPECT_EQ(sink->token_ids().size(), 300u);
}

TEST_F(EngineTest, AStuckModelShows) {
  engine_->Start();
  model_.Block();
  auto sink = Submit("a");
  ASSERT_TRUE(model_.WaitUntilBlocked());
  clock_.Advance(absl::Seconds(30));
  EXPECT_EQ(engine_->TimeSinceProgress(), absl::Seconds(30));
  EXPECT_FALSE(engine_->WaitUntilIdle(absl::ZeroDuration()));
  model_.Release();
  ASSERT_TRUE(engine_->WaitUntilIdle(absl::Seconds(60)));
  EXPECT_EQ(engine_->TimeSinceProgress(), absl::ZeroDuration());
}

TEST_F(EngineTest, SuggestsARetryWithinBounds) {
  EXPECT_EQ(engine_->RetryDelay(), absl::Milliseconds(100));
  // Holds its slot for four minutes.
  auto sink = Submit("a", 100);
  bool moved = false;
  sink->on_chunk = [&](const Chunk&) {
    if (!moved) clock_.Advance(absl::Minutes(4));
    moved = true;
  };
  engine_->Start();
  ASSERT_TRUE(sink->WaitForEnd());
  ASSERT_TRUE(engine_->WaitUntilIdle(absl::Seconds(60)));
  EXPECT_GE(engine_->RetryDelay(), absl::Milliseconds(100));
  EXPECT_LE(engine_->RetryDelay(), absl::Seconds(30));
}

// Submissions and cancels from several threads, racing with the ends.
TEST_F(EngineTest, CallersRaceWithTheLoop) {
  engine_->Start();
  constexpr int kThreads = 4, kEach = 200;
  std::vector<std::vector<std::shared_ptr<RecordingSink>>> sinks(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([this, t, &sinks] {
      std::mt19937 random(static_cast<uint32_t>(t));
      for (int i = 0; i < kEach; ++i) {
        const std::string id = absl::StrCat(t, "-", i);
        Request request = Harness::MakeRequest(
            1 + random() % 30, static_cast<int32_t>(1 + random() % 20));
        request.id = id;
        auto sink = std::make_shared<RecordingSink>();
        if (engine_->Submit(std::move(request), sink).ok()) {
          sinks[static_cast<size_t>(t)].push_back(sink);
        }
        if (random() % 3 == 0) engine_->Cancel(id);
        engine_->Cancel(absl::StrCat(t, "-", i - 3));
        engine_->TimeSinceProgress();
        engine_->RetryDelay();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(engine_->WaitUntilIdle(absl::Seconds(120)));
  int64_t accepted = 0;
  for (const auto& of_thread : sinks) {
    for (const auto& sink : of_thread) {
      EXPECT_TRUE(sink->ended());
      EXPECT_THAT(sink->faults(), IsEmpty());
      ++accepted;
    }
  }
  EXPECT_GT(accepted, 0);
  EXPECT_EQ(listener_.totals().ends, accepted);
  EXPECT_EQ(listener_.totals().state.slots_used, 0);
}

}  // namespace
}  // namespace tlin
