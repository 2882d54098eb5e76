// Sessions in a Redis that really runs: what one process may do with a session
// while another has its lease, had it, or has died with it.
#include "engine/session/redis_session_store.h"

#include <memory>
#include <string>

#include "engine/session/snapshot.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/redis_server.h"

namespace tlin {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr absl::Duration kLong = absl::Hours(1);

class RedisSessionStoreTest : public ::testing::Test {
 protected:
  std::unique_ptr<RedisSessionStore> Open(absl::Duration lease = kLong,
                                          const std::string& name_space = "m") {
    RedisStoreOptions options;
    options.name_space = name_space;
    options.lease = lease;
    options.max_snapshot_bytes = 1000;
    return std::make_unique<RedisSessionStore>(
        ParseRedisAddress(server_.url()).value(), options, &clock_);
  }
  // The server lets a lease go by its own clock.
  static absl::StatusOr<SessionLease> AcquireOnceFree(RedisSessionStore* store,
                                                      const std::string& id) {
    for (;;) {
      auto lease = store->Acquire(id, "");
      if (!absl::IsFailedPrecondition(lease.status())) return lease;
    }
  }

  // In the short time of a lease.
  static void PutNew(RedisSessionStore* store, const std::string& snapshot) {
    do {
      ASSERT_TRUE(store->Acquire("s", "").ok());
    } while (absl::IsAborted(store->Put("s", snapshot)));
  }

  RedisServer server_;
  MonotonicClock clock_;
};

TEST_F(RedisSessionStoreTest, WhatOnePutsAnotherAcquires) {
  const auto one = Open(), two = Open();
  const auto made = one->Acquire("s", "");
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->version, "");
  EXPECT_EQ(made->snapshot, "");
  EXPECT_GT(made->until, clock_.Now());
  ASSERT_TRUE(one->Put("s", "first").ok());

  const absl::Status taken = two->Acquire("s", "").status();
  EXPECT_EQ(taken.code(), absl::StatusCode::kFailedPrecondition) << taken;
  EXPECT_THAT(std::string(taken.message()), HasSubstr("another server"));
  ASSERT_TRUE(one->Release("s").ok());

  const auto got = two->Acquire("s", "");
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->snapshot, "first");
  ASSERT_TRUE(two->Put("s", "second").ok());
  ASSERT_TRUE(two->Release("s").ok());

  // Of a version that is known the bytes are not sent.
  const auto again = two->Acquire("s", SnapshotVersion("second"));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->version, SnapshotVersion("second"));
  EXPECT_EQ(again->snapshot, "");
  ASSERT_TRUE(two->Release("s").ok());
  const auto other = one->Acquire("s", SnapshotVersion("first"));
  ASSERT_TRUE(other.ok());
  EXPECT_EQ(other->snapshot, "second");
}

TEST_F(RedisSessionStoreTest, WithoutALeaseNothingIsChanged) {
  const auto store = Open();
  EXPECT_TRUE(absl::IsAborted(store->Put("s", "x")));
  EXPECT_TRUE(absl::IsAborted(store->Delete("s")));
  EXPECT_TRUE(absl::IsAborted(store->Renew("s").status()));
  EXPECT_TRUE(absl::IsNotFound(store->Get("s", 10).status()));
}

TEST_F(RedisSessionStoreTest, WhoIsLateIsRefused) {
  const auto late = Open(absl::Milliseconds(1)), next = Open();
  PutNew(late.get(), "old");
  // Its lease runs out, and the next one goes on.
  const auto lease = AcquireOnceFree(next.get(), "s");
  ASSERT_TRUE(lease.ok()) << lease.status();
  EXPECT_EQ(lease->snapshot, "old");
  ASSERT_TRUE(next->Put("s", "new").ok());
  for (const bool released : {false, true}) {
    if (released) {
      ASSERT_TRUE(next->Release("s").ok());
    }
    EXPECT_TRUE(absl::IsAborted(late->Put("s", "lost"))) << released;
    EXPECT_TRUE(absl::IsAborted(late->Delete("s"))) << released;
    EXPECT_TRUE(absl::IsAborted(late->Renew("s").status())) << released;
    EXPECT_EQ(next->Get("s", 1000).value(), "new");
  }
}

TEST_F(RedisSessionStoreTest, ALeaseThatNobodyTookAfterItIsStillGoodForAPut) {
  const auto store = Open(absl::Milliseconds(1));
  const auto other = Open(absl::Milliseconds(1));
  PutNew(store.get(), "one");
  // Once another can have a lease of another session that began later, this
  // one's time is over.
  ASSERT_TRUE(other->Acquire("t", "").ok());
  ASSERT_TRUE(AcquireOnceFree(store.get(), "t").ok());
  EXPECT_TRUE(absl::IsAborted(store->Renew("s").status()));
  EXPECT_TRUE(store->Put("s", "two").ok());
  EXPECT_EQ(store->Get("s", 1000).value(), "two");
}

TEST_F(RedisSessionStoreTest, ReleasingALostLeaseLeavesTheNextOnes) {
  const auto late = Open(absl::Milliseconds(1)), next = Open(), third = Open();
  ASSERT_TRUE(late->Acquire("s", "").ok());
  ASSERT_TRUE(AcquireOnceFree(next.get(), "s").ok());
  EXPECT_TRUE(late->Release("s").ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(third->Acquire("s", "").status()));
  EXPECT_TRUE(next->Renew("s").ok());
}

TEST_F(RedisSessionStoreTest, DeletedIsDeletedForAll) {
  const auto one = Open(), two = Open();
  ASSERT_TRUE(one->Acquire("s", "").ok());
  ASSERT_TRUE(one->Put("s", "x").ok());
  EXPECT_THAT(two->List().value(), ElementsAre("s"));
  ASSERT_TRUE(one->Delete("s").ok());
  ASSERT_TRUE(one->Release("s").ok());
  EXPECT_THAT(two->List().value(), IsEmpty());
  EXPECT_EQ(two->Acquire("s", "")->version, "");
}

TEST_F(RedisSessionStoreTest, ModelsDoNotSeeEachOthersSessions) {
  const auto one = Open(), other = Open(kLong, "n");
  ASSERT_TRUE(one->Acquire("s", "").ok());
  ASSERT_TRUE(one->Put("s", "x").ok());
  EXPECT_THAT(other->List().value(), IsEmpty());
  EXPECT_EQ(other->Acquire("s", "")->snapshot, "");
}

TEST_F(RedisSessionStoreTest, LongerThanAnySnapshotIsNotFetched) {
  const auto one = Open(), two = Open();
  ASSERT_TRUE(one->Acquire("s", "").ok());
  ASSERT_TRUE(one->Put("s", std::string(1001, 'x')).ok());
  ASSERT_TRUE(one->Release("s").ok());
  EXPECT_TRUE(absl::IsDataLoss(two->Acquire("s", "").status()));
}

TEST_F(RedisSessionStoreTest, AServerThatIsGoneIsUnavailableAndComesBack) {
  const auto store = Open();
  ASSERT_TRUE(store->Acquire("s", "").ok());
  server_.Stop();
  const absl::Status gone = store->Put("s", "x");
  EXPECT_TRUE(absl::IsUnavailable(gone)) << gone;
  EXPECT_THAT(std::string(gone.message()), HasSubstr("redis 127.0.0.1:"));
  server_.Start();
  absl::StatusOr<SessionLease> lease = store->Acquire("s", "");
  while (absl::IsUnavailable(lease.status())) lease = store->Acquire("s", "");
  ASSERT_TRUE(lease.ok()) << lease.status();
  EXPECT_TRUE(store->Put("s", "x").ok());
}

TEST(RedisLoginTest, APasswordIsUsedAndNeverTold) {
  RedisServer server({"--requirepass", "se:cr@t"});
  MonotonicClock clock;
  const auto check = [&](const std::string& login) {
    RedisStoreOptions options;
    options.name_space = "m";
    const auto address = ParseRedisAddress(
        "redis://" + login + "127.0.0.1:" + std::to_string(server.port()));
    EXPECT_TRUE(address.ok()) << address.status();
    return RedisSessionStore(*address, options, &clock).Check();
  };
  EXPECT_TRUE(check(":se:cr@t@").ok());
  const absl::Status wrong = check(":guess@");
  EXPECT_FALSE(wrong.ok());
  EXPECT_THAT(std::string(wrong.message()), Not(HasSubstr("guess")));
  EXPECT_FALSE(check("").ok());
}

TEST(RedisAddressTest, HasItsParts) {
  const auto whole = ParseRedisAddress("redis://me:pass@[::1]:7000/3");
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_EQ(whole->host, "::1");
  EXPECT_EQ(whole->port, 7000);
  EXPECT_EQ(whole->database, 3);
  EXPECT_EQ(whole->user, "me");
  EXPECT_EQ(whole->password, "pass");
  const auto plain = ParseRedisAddress("redis://cache");
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->host, "cache");
  EXPECT_EQ(plain->port, 6379);
  EXPECT_EQ(plain->database, 0);
}

TEST(RedisAddressTest, FaultsAreToldWithoutThePassword) {
  for (const char* url :
       {"", "cache:6379", "http://cache", "redis://", "redis://:6379",
        "redis://cache:0", "redis://cache:65536", "redis://cache:x",
        "redis://cache/x", "redis://cache/-1", "redis://hunter2@cache",
        "redis://:hunter2@cache:x"}) {
    const absl::Status status = ParseRedisAddress(url).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << url;
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("hunter2")));
  }
}

}  // namespace
}  // namespace tlin
