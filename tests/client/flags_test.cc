#include "client/flags.h"

#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "client/command_support.h"
#include "client/exit_code.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tlin::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Values {
  std::string name = "none";
  bool quick = false;
  bool safe = true;
  std::optional<bool> maybe;
  std::optional<float> warmth;
  std::optional<uint64_t> seed;
  int32_t count = 5;
  absl::Duration wait = absl::Seconds(1);
  std::vector<std::string> stop;
  std::vector<int32_t> ids;
  FlagSet flags{"test [flags]", "For the test.\n"};

  Values() {
    flags.Add("name", &name, "A name.");
    flags.Add("quick", &quick, "Quick.");
    flags.Add("safe", &safe, "Safe.");
    flags.Add("maybe", &maybe, "Maybe.");
    flags.Add("warmth", &warmth, "Warmth.");
    flags.Add("seed", &seed, "Seed.");
    flags.Add("count", &count, "Count.");
    flags.Add("wait", &wait, "Wait.");
    flags.Add("stop", &stop, "Stop.");
    flags.Add("ids", &ids, "Ids.");
  }
};

TEST(FlagsTest, BothFormsOfValues) {
  Values v;
  const auto rest =
      v.flags.Parse({"--name=a=b", "--count", "-3", "--wait=2m",
                     "--seed=18446744073709551615", "--warmth", "0.5"});
  ASSERT_TRUE(rest.ok());
  EXPECT_TRUE(rest->empty());
  EXPECT_EQ(v.name, "a=b");
  EXPECT_EQ(v.count, -3);
  EXPECT_EQ(v.wait, absl::Minutes(2));
  EXPECT_EQ(v.seed, std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(v.warmth, 0.5f);
}

TEST(FlagsTest, Switches) {
  Values v;
  ASSERT_TRUE(v.flags.Parse({"--quick", "--nosafe", "--maybe=false"}).ok());
  EXPECT_TRUE(v.quick);
  EXPECT_FALSE(v.safe);
  EXPECT_EQ(v.maybe, false);
  EXPECT_EQ(v.warmth, std::nullopt);
}

TEST(FlagsTest, ListsAndRepeats) {
  Values v;
  ASSERT_TRUE(
      v.flags.Parse({"--stop=a", "--stop", "b,c", "--ids=1, 2 3"}).ok());
  EXPECT_THAT(v.stop, ElementsAre("a", "b,c"));
  EXPECT_THAT(v.ids, ElementsAre(1, 2, 3));
}

TEST(FlagsTest, WhatIsNoFlag) {
  Values v;
  const auto rest = v.flags.Parse({"a", "-", "--quick", "", "--", "--name"});
  ASSERT_TRUE(rest.ok());
  EXPECT_THAT(*rest, ElementsAre("a", "-", "", "--name"));
}

TEST(FlagsTest, ErrorsNameTheFlag) {
  const std::vector<std::pair<Args, std::string>> cases = {
      {{"--colour=red"}, "--colour: unknown flag"},
      {{"--noname"}, "--noname: unknown flag"},
      {{"-n"}, "-n: unknown flag"},
      {{"--count"}, "--count: a value is missing"},
      {{"--count=many"}, "--count: want a whole number, not 'many'"},
      {{"--count=3000000000"}, "--count: want a whole number"},
      {{"--seed=-1"}, "--seed: want a whole number from 0"},
      {{"--warmth="}, "--warmth: want a number, not ''"},
      {{"--wait=5"}, "--wait: want a duration (500ms, 30s, 2m), not '5'"},
      {{"--quick=perhaps"}, "--quick: want true or false"},
      {{"--ids=1,x"}, "--ids: want numbers such as 1,2,3"},
  };
  for (const auto& [args, message] : cases) {
    Values v;
    const auto rest = v.flags.Parse(args);
    ASSERT_FALSE(rest.ok()) << args[0];
    EXPECT_THAT(std::string(rest.status().message()), HasSubstr(message));
  }
}

TEST(FlagsTest, HelpShowsDefaults) {
  Values v;
  ASSERT_TRUE(v.flags.Parse({"--help", "--garbage"}).ok());
  EXPECT_TRUE(v.flags.help_wanted());
  const std::string help = v.flags.Help();
  EXPECT_THAT(help, HasSubstr("Usage: test [flags]\nFor the test.\n"));
  EXPECT_THAT(help, HasSubstr("--count=5"));
  EXPECT_THAT(help, HasSubstr("--wait=1s"));
  EXPECT_THAT(help, HasSubstr("Safe. (on; --nosafe for off)"));
}

TEST(Utf8Test, FindsTheFirstBadByte) {
  EXPECT_EQ(FindInvalidUtf8(""), std::nullopt);
  EXPECT_EQ(FindInvalidUtf8("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"),
            std::nullopt);
  EXPECT_EQ(FindInvalidUtf8("ab\x80"), 2u);            // continuation in front
  EXPECT_EQ(FindInvalidUtf8("a\xC3"), 1u);             // cut off
  EXPECT_EQ(FindInvalidUtf8("\xC0\xAF"), 0u);          // overlong
  EXPECT_EQ(FindInvalidUtf8("\xED\xA0\x80"), 0u);      // surrogate
  EXPECT_EQ(FindInvalidUtf8("\xF4\x90\x80\x80"), 0u);  // beyond Unicode
  EXPECT_EQ(FindInvalidUtf8("\xFF"), 0u);
}

TEST(ExitCodeTest, ByKindOfFailure) {
  using absl::Status;
  using absl::StatusCode;
  const auto code = [](StatusCode c) { return ExitCodeFor(Status(c, "m")); };
  EXPECT_EQ(ExitCodeFor(absl::OkStatus()), 0);
  EXPECT_EQ(code(StatusCode::kUnavailable), 3);
  EXPECT_EQ(code(StatusCode::kDeadlineExceeded), 3);
  EXPECT_EQ(code(StatusCode::kResourceExhausted), 4);
  EXPECT_EQ(code(StatusCode::kInvalidArgument), 5);
  EXPECT_EQ(code(StatusCode::kNotFound), 5);
  EXPECT_EQ(code(StatusCode::kAlreadyExists), 5);
  EXPECT_EQ(code(StatusCode::kFailedPrecondition), 5);
  EXPECT_EQ(code(StatusCode::kInternal), 6);
  EXPECT_EQ(code(StatusCode::kDataLoss), 6);
  EXPECT_EQ(code(StatusCode::kUnimplemented), 6);
  EXPECT_EQ(code(StatusCode::kUnauthenticated), 7);
  EXPECT_EQ(code(StatusCode::kPermissionDenied), 7);
  EXPECT_EQ(code(StatusCode::kCancelled), 130);
}

}  // namespace
}  // namespace tlin::client
