// What callers' threads and the loop's share.
#include "engine/inbox.h"

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/recording_sink.h"

namespace tlin {
namespace {

using ::testing::SizeIs;

Request Named(const std::string& id) {
  Request request;
  request.id = id;
  request.prompt = {1};
  return request;
}

class InboxTest : public ::testing::Test {
 protected:
  absl::Status Submit(const std::string& id) {
    return inbox_.Submit(Named(id), std::make_shared<RecordingSink>());
  }
  std::vector<Ticket> Take() {
    Inbox::Mail mail;
    inbox_.Take(/*busy=*/true, &mail);
    return std::move(mail.tickets);
  }

  FakeClock clock_;
  Inbox inbox_{2, &clock_};
};

TEST_F(InboxTest, HoldsSoManyUntilTheyHaveASlot) {
  EXPECT_TRUE(Submit("a").ok());
  EXPECT_TRUE(Submit("b").ok());
  EXPECT_TRUE(absl::IsResourceExhausted(Submit("c")));
  EXPECT_THAT(Take(), SizeIs(2));
  EXPECT_TRUE(absl::IsResourceExhausted(Submit("c"))) << "taken, not admitted";
  inbox_.LeaveQueue();
  EXPECT_TRUE(Submit("c").ok());
  EXPECT_EQ(inbox_.waiting(), 2);
}

TEST_F(InboxTest, AnIdIsTakenUntilItsEnd) {
  EXPECT_TRUE(Submit("a").ok());
  Take();
  inbox_.LeaveQueue();
  EXPECT_TRUE(absl::IsInvalidArgument(Submit("a")));
  EXPECT_EQ(inbox_.waiting(), 0) << "a refused one does not count";
  inbox_.End("a");
  EXPECT_TRUE(Submit("a").ok());
}

TEST_F(InboxTest, ACancelMarksItsTicketWhereverItIs) {
  EXPECT_TRUE(Submit("a").ok());
  EXPECT_TRUE(Submit("b").ok());
  inbox_.Cancel("a");
  inbox_.Cancel("unknown");
  std::vector<Ticket> tickets = Take();
  EXPECT_EQ(tickets[0].wish->load(), CallerWish::kCancel);
  EXPECT_EQ(tickets[1].wish->load(), CallerWish::kGoOn);
  inbox_.Cancel("b");
  EXPECT_EQ(tickets[1].wish->load(), CallerWish::kCancel);
}

TEST_F(InboxTest, DrainRefusesAndIdleIsAfterTheLastEnd) {
  EXPECT_TRUE(Submit("a").ok());
  inbox_.BeginDrain();
  EXPECT_TRUE(absl::IsUnavailable(Submit("b")));
  EXPECT_FALSE(inbox_.WaitUntilIdle(absl::ZeroDuration()));
  Take();
  inbox_.LeaveQueue();
  inbox_.End("a");
  EXPECT_TRUE(inbox_.WaitUntilIdle(absl::ZeroDuration()));
}

TEST_F(InboxTest, StopEndsTheWaitAndHandsOverWhatIsThere) {
  EXPECT_TRUE(Submit("a").ok());
  inbox_.Stop();
  Inbox::Mail mail;
  EXPECT_FALSE(inbox_.Take(/*busy=*/false, &mail));
  EXPECT_THAT(mail.tickets, SizeIs(1));
  EXPECT_TRUE(absl::IsUnavailable(Submit("b")));
}

TEST_F(InboxTest, ATurnOfTheLoopIsProgressAndIdleNeedsNone) {
  clock_.Advance(absl::Hours(1));
  EXPECT_EQ(inbox_.TimeSinceProgress(), absl::ZeroDuration());
  EXPECT_TRUE(Submit("a").ok());
  clock_.Advance(absl::Seconds(3));
  EXPECT_EQ(inbox_.TimeSinceProgress(), absl::Seconds(3));
  EXPECT_TRUE(Submit("b").ok());
  EXPECT_EQ(inbox_.TimeSinceProgress(), absl::Seconds(3)) << "not by callers";
  Take();
  EXPECT_EQ(inbox_.TimeSinceProgress(), absl::ZeroDuration());
  clock_.Advance(absl::Seconds(2));
  EXPECT_EQ(inbox_.TimeSinceProgress(), absl::Seconds(2));
}

TEST_F(InboxTest, WakesTheLoop) {
  Inbox::Mail mail;
  std::thread loop([&] { inbox_.Take(/*busy=*/false, &mail); });
  EXPECT_TRUE(Submit("a").ok());
  loop.join();
  EXPECT_THAT(mail.tickets, SizeIs(1));
}

}  // namespace
}  // namespace tlin
