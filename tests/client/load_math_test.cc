// The load's pure parts: histogram, arrivals, prompts, flags.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "client/latency_histogram.h"
#include "client/load_arrivals.h"
#include "client/load_flags.h"
#include "client/load_prompts.h"
#include "client/load_random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tlin::client {
namespace {

using ::testing::HasSubstr;

TEST(LatencyHistogramTest, Empty) {
  const LatencyHistogram histogram;
  EXPECT_EQ(histogram.count(), 0);
  EXPECT_EQ(histogram.Percentile(50), absl::ZeroDuration());
  EXPECT_EQ(histogram.Mean(), absl::ZeroDuration());
}

TEST(LatencyHistogramTest, SmallValuesAreExact) {
  LatencyHistogram histogram;
  for (int ns = 1; ns <= 100; ++ns) histogram.Record(absl::Nanoseconds(ns));
  EXPECT_EQ(histogram.Percentile(50), absl::Nanoseconds(50));
  EXPECT_EQ(histogram.Percentile(90), absl::Nanoseconds(90));
  EXPECT_EQ(histogram.Percentile(99), absl::Nanoseconds(99));
  EXPECT_EQ(histogram.Percentile(100), absl::Nanoseconds(100));
  EXPECT_EQ(histogram.Percentile(0.5), absl::Nanoseconds(1));
  EXPECT_EQ(histogram.Mean(), absl::Nanoseconds(50.5));
}

TEST(LatencyHistogramTest, OneValueIsEveryPercentile) {
  LatencyHistogram histogram;
  histogram.Record(absl::Milliseconds(12.345));
  for (double percent : {1.0, 50.0, 99.0, 100.0}) {
    EXPECT_EQ(histogram.Percentile(percent), absl::Milliseconds(12.345));
  }
}

TEST(LatencyHistogramTest, IsCloseToTheSortedSamples) {
  LoadRandom random(3, 0);
  std::vector<int64_t> samples;
  LatencyHistogram histogram;
  for (int i = 0; i < 20000; ++i) {
    // From 1 ns to 20 s, evenly over the orders of magnitude.
    const auto ns = static_cast<int64_t>(std::exp(random.Unit() * 23.7));
    samples.push_back(ns);
    histogram.Record(absl::Nanoseconds(ns));
  }
  std::sort(samples.begin(), samples.end());
  for (double percent : {1.0, 50.0, 90.0, 99.0, 99.9}) {
    const auto rank =
        static_cast<size_t>(std::ceil(percent * samples.size() / 100));
    const double exact = static_cast<double>(samples[rank - 1]);
    const double got = absl::ToDoubleNanoseconds(histogram.Percentile(percent));
    EXPECT_GE(got, exact);
    EXPECT_LE(got, exact * (1 + 1.0 / 128));
  }
  EXPECT_EQ(histogram.max(), absl::Nanoseconds(samples.back()));
}

TEST(LatencyHistogramTest, ExtremesAreTamed) {
  LatencyHistogram histogram;
  histogram.Record(-absl::Seconds(1));
  EXPECT_EQ(histogram.max(), absl::ZeroDuration());
  histogram.Record(absl::InfiniteDuration());
  EXPECT_EQ(histogram.max(), absl::Hours(2400));
}

TEST(PoissonArrivalsTest, SameSeedSameTimes) {
  PoissonArrivals a(10, 1), b(10, 1), other(10, 2);
  for (int i = 0; i < 100; ++i) {
    const absl::Duration at = a.Next();
    EXPECT_EQ(at, b.Next());
    EXPECT_NE(at, other.Next());
  }
}

TEST(PoissonArrivalsTest, GapsAreExponential) {
  PoissonArrivals arrivals(100, 5);
  constexpr int kCount = 50000;
  double last = 0, sum = 0, squares = 0;
  for (int i = 0; i < kCount; ++i) {
    const double at = absl::ToDoubleSeconds(arrivals.Next());
    ASSERT_GE(at, last);
    sum += at - last;
    squares += (at - last) * (at - last);
    last = at;
  }
  const double mean = sum / kCount;
  EXPECT_NEAR(mean, 0.01, 0.0002);
  // Standard deviation and mean of an exponential are the same.
  EXPECT_NEAR(std::sqrt(squares / kCount - mean * mean), 0.01, 0.0003);
}

TEST(ParseRangeTest, NumbersAndRanges) {
  EXPECT_EQ(ParseRange("128")->low, 128);
  EXPECT_EQ(ParseRange("128")->high, 128);
  EXPECT_EQ(ParseRange("64:512")->low, 64);
  EXPECT_EQ(ParseRange("64:512")->high, 512);
  for (const char* text :
       {"", "0", "-1", "x", "5:4", "1:2:3", "1:", ":2", "99999999999"}) {
    EXPECT_FALSE(ParseRange(text).has_value()) << text;
  }
}

TEST(LoadPromptsTest, ARequestIsAFunctionOfSeedAndNumber) {
  LoadOptions options;
  options.prompt_tokens = {3, 9};
  options.max_new_tokens = {1, 4};
  const auto prompts = LoadPrompts::Create(options, 50);
  options.seed = 2;
  const auto others = LoadPrompts::Create(options, 50);
  std::set<int> lengths, answers;
  for (int i = 0; i < 200; ++i) {
    const v1::GenerateRequest request = prompts->Request(i);
    EXPECT_EQ(request.SerializeAsString(),
              prompts->Request(i).SerializeAsString());
    EXPECT_NE(request.SerializeAsString(),
              others->Request(i).SerializeAsString());
    lengths.insert(request.token_ids().ids_size());
    answers.insert(request.stopping().max_new_tokens());
    for (int32_t id : request.token_ids().ids()) {
      EXPECT_GE(id, 0);
      EXPECT_LT(id, 50);
    }
  }
  EXPECT_THAT(lengths, ::testing::ElementsAre(3, 4, 5, 6, 7, 8, 9));
  EXPECT_THAT(answers, ::testing::ElementsAre(1, 2, 3, 4));
}

TEST(LoadPromptsTest, FromAFile) {
  LoadOptions options;
  options.prompts = ::testing::TempDir() + "/prompts.txt";
  std::ofstream(options.prompts) << "one\n\ntwo\n";
  const auto prompts = LoadPrompts::Create(options, 0);
  ASSERT_TRUE(prompts.ok());
  EXPECT_EQ(prompts->Request(0).text(), "one");
  EXPECT_EQ(prompts->Request(1).text(), "two");
  EXPECT_EQ(prompts->Request(2).text(), "one");
  options.prompts = "/nonexistent";
  EXPECT_THAT(std::string(LoadPrompts::Create(options, 1).status().message()),
              HasSubstr("--prompts: /nonexistent"));
}

TEST(LoadFlagsTest, ErrorsNameTheFlag) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{}, "--requests: or --duration"},
      {{"--requests=-1"}, "--requests: "},
      {{"--duration=-1s"}, "--duration: "},
      {{"--duration=inf"}, "--requests: or --duration"},
      {{"--requests=1", "--rate=-1"}, "--rate: "},
      {{"--requests=1", "--rate=nan"}, "--rate: "},
      {{"--requests=1", "--concurrency=0"}, "--concurrency: "},
      {{"--requests=1", "--rate=1", "--concurrency=2"}, "--concurrency: "},
      {{"--requests=1", "--prompt_tokens=0"}, "--prompt_tokens: "},
      {{"--requests=1", "--max_new_tokens=9:1"}, "--max_new_tokens: "},
      {{"--requests=1", "--deadline=0s"}, "--deadline: "},
  };
  for (const auto& [args, message] : cases) {
    FlagSet flags("", "");
    LoadFlags load_flags(&flags);
    ASSERT_TRUE(flags.Parse(args).ok());
    LoadOptions options;
    EXPECT_THAT(std::string(load_flags.Get(&options).message()),
                HasSubstr(message));
  }
}

}  // namespace
}  // namespace tlin::client
