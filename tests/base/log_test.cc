#include "engine/base/log.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/base/check.h"
#include "engine/base/clock.h"
#include "engine/base/status_macros.h"

namespace tlin {
namespace {

class RecordingLogger final : public Logger {
 public:
  std::vector<std::string> lines;

 protected:
  void Write(const std::string& line) override { lines.push_back(line); }
};

TEST(LogTest, EachLineIsOneJsonObjectWithItsFields) {
  RecordingLogger logger;
  logger.Log(Severity::kWarning, "slow step",
             {{"request_id", "r-1"},
              {"rows", int64_t{3}},
              {"seconds", 0.5},
              {"draining", true}});
  ASSERT_EQ(logger.lines.size(), 1u);
  const auto line = nlohmann::json::parse(logger.lines[0]);
  EXPECT_EQ(line["severity"], "warning");
  EXPECT_EQ(line["message"], "slow step");
  EXPECT_EQ(line["request_id"], "r-1");
  EXPECT_EQ(line["rows"], 3);
  EXPECT_EQ(line["seconds"], 0.5);
  EXPECT_EQ(line["draining"], true);
  EXPECT_TRUE(line["time"].get<std::string>().ends_with("Z"));
}

TEST(LogTest, NewlinesAndInvalidUtf8StayInsideTheLine) {
  RecordingLogger logger;
  logger.Log(Severity::kError, "a\nb", {{"bytes", "\xff\xfe"}});
  ASSERT_EQ(logger.lines.size(), 1u);
  EXPECT_EQ(logger.lines[0].find('\n'), std::string::npos);
  EXPECT_EQ(nlohmann::json::parse(logger.lines[0])["bytes"],
            "\xef\xbf\xbd\xef\xbf\xbd");
}

TEST(CheckDeathTest, PrintsTheConditionAndAborts) {
  EXPECT_DEATH(TLIN_CHECK(1 + 1 == 3), "check failed: 1 \\+ 1 == 3");
}

TEST(ClockTest, NeverGoesBack) {
  MonotonicClock clock;
  const absl::Time first = clock.Now();
  EXPECT_GE(clock.Now(), first);
}

absl::StatusOr<int> Half(int n) {
  if (n % 2 != 0) return absl::InvalidArgumentError("odd");
  return n / 2;
}

absl::StatusOr<int> Quarter(int n) {
  TLIN_ASSIGN_OR_RETURN(const int half, Half(n));
  TLIN_RETURN_IF_ERROR(Half(half).status());
  return half / 2;
}

TEST(StatusMacrosTest, TheFirstErrorReturns) {
  EXPECT_EQ(*Quarter(8), 2);
  EXPECT_EQ(Quarter(7).status(), absl::InvalidArgumentError("odd"));
  EXPECT_EQ(Quarter(6).status(), absl::InvalidArgumentError("odd"));
}

}  // namespace
}  // namespace tlin
