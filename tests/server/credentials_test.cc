// Secrets in a file, and whose sessions are whose.
#include "server/credentials.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/caller.h"
#include "server/secret_file.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/silent_logger.h"

namespace tlin {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(ParseSecretsTest, TakesNamesAndSecrets) {
  const auto secrets = ParseSecrets(
      "# for the two of them\n\nalice  t0ken+/=\r\n\tbob\tother\nalice again");
  ASSERT_TRUE(secrets.ok()) << secrets.status();
  ASSERT_EQ(secrets->size(), 3u);
  EXPECT_EQ((*secrets)[0].name, "alice");
  EXPECT_EQ((*secrets)[1].name, "bob");
  EXPECT_EQ((*secrets)[2].name, "alice");
  EXPECT_NE((*secrets)[0].digest, (*secrets)[2].digest);
}

TEST(ParseSecretsTest, NamesTheLineAndNeverTheSecret) {
  const std::string long_name(65, 'a');
  for (const std::string line :
       {"hush", "alice hush hush", ".alice hush", "al~ice hush", "al/ice hush",
        "alice h\xc3\xbcsh", "alice hu\x01sh"}) {
    const auto secrets = ParseSecrets("bob fine\n" + line + "\n");
    ASSERT_FALSE(secrets.ok()) << line;
    const std::string message(secrets.status().message());
    EXPECT_THAT(message, HasSubstr("line 2: want NAME SECRET")) << line;
    EXPECT_THAT(message, Not(HasSubstr("hush"))) << line;
  }
  EXPECT_FALSE(ParseSecrets(long_name + " hush").ok());
  EXPECT_THAT(std::string(ParseSecrets("# none\n\n").status().message()),
              HasSubstr("no line NAME SECRET"));
}

class SecretFileTest : public ::testing::Test {
 protected:
  ~SecretFileTest() override { std::filesystem::remove(path_); }

  // As editors and mounted secrets do: another file takes the place.
  void Replace(const std::string& text) {
    const std::string beside = path_ + ".new";
    std::ofstream(beside) << text;
    std::filesystem::rename(beside, path_);
  }
  std::unique_ptr<SecretFile> Open() {
    auto file = SecretFile::Open(path_, &clock_, &logger_);
    EXPECT_TRUE(file.ok()) << file.status();
    return file.ok() ? *std::move(file) : nullptr;
  }

  const std::string path_ = ::testing::TempDir() + "secrets";
  FakeClock clock_;
  SilentLogger logger_;
};

TEST_F(SecretFileTest, KnowsWhoseSecretItIs) {
  Replace("alice one\nbob two\nbob three\n");
  const auto file = Open();
  EXPECT_EQ(file->NameOf("one"), "alice");
  EXPECT_EQ(file->NameOf("three"), "bob");
  for (const char* wrong : {"", "on", "onee", "ONE", "alice one", "four"}) {
    EXPECT_EQ(file->NameOf(wrong), std::nullopt) << wrong;
  }
  EXPECT_TRUE(file->Has("bob", "two"));
  EXPECT_FALSE(file->Has("alice", "two"));
  EXPECT_FALSE(file->Has("", "two"));
}

TEST_F(SecretFileTest, IsReadAgainWhenItChanges) {
  Replace("alice one\n");
  const auto file = Open();
  Replace("alice two\n");
  EXPECT_EQ(file->NameOf("one"), "alice") << "it looks once a second";
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(file->NameOf("one"), std::nullopt);
  EXPECT_EQ(file->NameOf("two"), "alice");
  ASSERT_EQ(logger_.lines().size(), 1u);
  EXPECT_THAT(logger_.lines()[0], HasSubstr("credentials read again"));
}

TEST_F(SecretFileTest, WhatCannotBeReadLeavesTheOld) {
  Replace("alice one\n");
  const auto file = Open();
  Replace("alice\n");
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(file->NameOf("one"), "alice");
  std::filesystem::remove(path_);
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(file->NameOf("one"), "alice");
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(file->NameOf("one"), "alice");
  // Once for each change.
  ASSERT_EQ(logger_.lines().size(), 2u);
  EXPECT_THAT(logger_.lines()[0], HasSubstr(path_ + ": line 1"));
  EXPECT_THAT(logger_.lines()[1], HasSubstr("No such file"));
  Replace("alice two\n");
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(file->NameOf("two"), "alice");
}

TEST_F(SecretFileTest, ErrorsNameTheFile) {
  const auto missing = SecretFile::Open("/no/such/file", &clock_, &logger_);
  EXPECT_THAT(std::string(missing.status().message()),
              HasSubstr("/no/such/file: No such file"));
  EXPECT_THAT(
      std::string(SecretFile::Open("/", &clock_, &logger_).status().message()),
      HasSubstr("/: is not a file"));
  CredentialOptions options;
  options.token_file = "/no/such/file";
  EXPECT_THAT(
      std::string(
          Credentials::Open(options, &clock_, &logger_).status().message()),
      HasSubstr("--token_file: /no/such/file"));
}

TEST(BearerTokenTest, IsWhatFollowsTheScheme) {
  EXPECT_EQ(BearerToken("Bearer abc"), "abc");
  EXPECT_EQ(BearerToken("bearer   abc "), "abc");
  EXPECT_EQ(BearerToken("Bearer"), "");
  EXPECT_EQ(BearerToken("Bearer "), "");
  EXPECT_EQ(BearerToken("Basic abc"), "");
  EXPECT_EQ(BearerToken("abc"), "");
}

TEST(CallerTest, HostsAreToldWithoutTheirPorts) {
  EXPECT_EQ(HostOfPeer("ipv4:10.0.0.1:40000"), "ipv4:10.0.0.1");
  EXPECT_EQ(HostOfPeer("ipv6:%5B::1%5D:40000"), "ipv6:%5B::1%5D");
  EXPECT_EQ(HostOfPeer("unix:/run/tlin"), "unix:/run/tlin");
  EXPECT_EQ(HostOfPeer(""), "");
}

TEST(CallerTest, OwnersAreOfTheCharactersOfSessions) {
  EXPECT_EQ(OwnerOf("alice.a-b_c"), "alice.a-b_c");
  const std::string digest = OwnerOf("spiffe://cluster/alice");
  EXPECT_EQ(digest.size(), 64u);
  EXPECT_EQ(digest.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_NE(digest, OwnerOf("spiffe://cluster/bob"));
  EXPECT_NE(OwnerOf("a~b"), "a~b");
}

TEST(CallerTest, KeysAreTheirOwnersOnly) {
  absl::string_view id;
  EXPECT_EQ(SessionKey("", "s"), "s");
  EXPECT_EQ(SessionKey("alice", ""), "");
  const std::string key = SessionKey("alice", "s");
  ASSERT_TRUE(IdOfKey("alice", key, &id));
  EXPECT_EQ(id, "s");
  EXPECT_FALSE(IdOfKey("bob", key, &id));
  EXPECT_FALSE(IdOfKey("ali", key, &id));
  EXPECT_FALSE(IdOfKey("", key, &id));
  EXPECT_FALSE(IdOfKey("alice", "s", &id));
  // Who writes another's key as an id gets a key of their own.
  EXPECT_NE(SessionKey("bob", key), key);
}

TEST(CallerTest, FailuresAreToldInTheOwnersWords) {
  absl::Status status =
      absl::NotFoundError("session alice~s: there is none alice~s");
  status.SetPayload("type", absl::Cord("detail"));
  const absl::Status told = WithoutOwner("alice", status);
  EXPECT_EQ(told.message(), "session s: there is none s");
  EXPECT_TRUE(absl::IsNotFound(told));
  EXPECT_EQ(told.GetPayload("type"), absl::Cord("detail"));
  EXPECT_EQ(WithoutOwner("", status), status);
  EXPECT_TRUE(WithoutOwner("alice", absl::OkStatus()).ok());
}

}  // namespace
}  // namespace tlin
