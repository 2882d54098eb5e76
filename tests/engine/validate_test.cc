// What is refused before it waits, by the name of the field.
#include <cmath>
#include <limits>
#include <string>

#include "engine/validate_request.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tlin {
namespace {

using ::testing::StartsWith;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

RequestLimits Limits() {
  RequestLimits limits;
  limits.vocab_size = 100;
  limits.max_context_tokens = 1000;
  limits.max_prompt_tokens = 500;
  limits.has_tokenizer = true;
  limits.eos_token_id = 99;
  return limits;
}

Request Good() {
  Request request;
  request.prompt = {1, 2, 99};
  return request;
}

void ExpectRefused(const Request& request, const char* field,
                   const RequestLimits& limits = Limits()) {
  const absl::Status status = ValidateRequest(request, limits);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << field;
  EXPECT_THAT(std::string(status.message()), StartsWith(field));
}

struct FloatField {
  const char* name;
  float Sampling::*field;
  float least, most;
  bool least_is_in;
};

TEST(ValidateTest, EachNumberOfSamplingHasItsRange) {
  const FloatField fields[] = {
      {"sampling.temperature", &Sampling::temperature, 0, 100, true},
      {"sampling.top_p", &Sampling::top_p, 0, 1, false},
      {"sampling.min_p", &Sampling::min_p, 0, 1, true},
      {"sampling.repetition_penalty", &Sampling::repetition_penalty, 0, 100,
       false},
      {"sampling.frequency_penalty", &Sampling::frequency_penalty, -100, 100,
       true},
      {"sampling.presence_penalty", &Sampling::presence_penalty, -100, 100,
       true},
  };
  for (const FloatField& f : fields) {
    const auto with = [&f](float value) {
      Request request = Good();
      request.sampling.*f.field = value;
      return request;
    };
    for (float bad : {kNaN, kInfinity, -kInfinity, 3e38f, -3e38f,
                      std::nextafter(f.most, kInfinity),
                      std::nextafter(f.least, -kInfinity)}) {
      ExpectRefused(with(bad), f.name);
    }
    EXPECT_TRUE(ValidateRequest(with(f.most), Limits()).ok()) << f.name;
    EXPECT_EQ(ValidateRequest(with(f.least), Limits()).ok(), f.least_is_in)
        << f.name;
  }
  Request request = Good();
  request.sampling.top_k = -1;
  ExpectRefused(request, "sampling.top_k");
  request.sampling.top_k = std::numeric_limits<int32_t>::max();
  EXPECT_TRUE(ValidateRequest(request, Limits()).ok());
}

TEST(ValidateTest, Prompts) {
  EXPECT_TRUE(ValidateRequest(Good(), Limits()).ok());
  Request request = Good();
  request.prompt = {};
  ExpectRefused(request, "prompt");
  for (TokenId bad : {-1, 100, std::numeric_limits<TokenId>::max(),
                      std::numeric_limits<TokenId>::min()}) {
    request.prompt = {1, bad};
    ExpectRefused(request, "prompt");
  }
  request.prompt.assign(500, 1);
  EXPECT_TRUE(ValidateRequest(request, Limits()).ok());
  request.prompt.assign(501, 1);
  ExpectRefused(request, "prompt");
  RequestLimits limits = Limits();
  limits.max_prompt_tokens = 1000;
  request.prompt.assign(999, 1);
  EXPECT_TRUE(ValidateRequest(request, limits).ok());
  request.prompt.assign(1000, 1);
  ExpectRefused(request, "prompt", limits);
  // A score predicts the tokens from the second on.
  request.kind = Request::Kind::kScore;
  EXPECT_TRUE(ValidateRequest(request, limits).ok());
  request.prompt = {1};
  ExpectRefused(request, "prompt");
}

TEST(ValidateTest, Stopping) {
  Request request = Good();
  request.stopping.max_new_tokens = 0;
  ExpectRefused(request, "stopping.max_new_tokens");
  request = Good();
  request.stopping.min_new_tokens = -1;
  ExpectRefused(request, "stopping.min_new_tokens");
  request.stopping.min_new_tokens = request.stopping.max_new_tokens + 1;
  ExpectRefused(request, "stopping.min_new_tokens");
  for (const auto& stop :
       {std::vector<std::string>{""},
        std::vector<std::string>{std::string(kMaxStopBytes + 1, 'x')},
        std::vector<std::string>(kMaxStopStrings + 1, "x")}) {
    request = Good();
    request.stopping.stop = stop;
    ExpectRefused(request, "stopping.stop");
  }
  request.stopping.stop = {"x"};
  RequestLimits limits = Limits();
  limits.has_tokenizer = false;
  ExpectRefused(request, "stopping.stop", limits);
  for (TokenId bad : {-1, 100}) {
    request = Good();
    request.stopping.stop_token_ids = {5, bad};
    ExpectRefused(request, "stopping.stop_token_ids");
  }
  request.stopping.stop_token_ids.assign(kMaxStopTokens + 1, 1);
  ExpectRefused(request, "stopping.stop_token_ids");
  // Nothing would be left to sample.
  limits = Limits();
  limits.vocab_size = 100;
  request.stopping.stop_token_ids.clear();
  for (TokenId id = 0; id < 99; ++id) {
    request.stopping.stop_token_ids.push_back(id);
  }
  request.stopping.min_new_tokens = 2;
  ExpectRefused(request, "stopping.min_new_tokens", limits);
}

TEST(ValidateTest, Output) {
  for (int32_t bad : {-1, kMaxLogprobs + 1}) {
    Request request = Good();
    request.output.logprobs = bad;
    ExpectRefused(request, "output.logprobs");
    request.kind = Request::Kind::kScore;
    ExpectRefused(request, "output.logprobs");
  }
  Request request = Good();
  request.output.logprobs = kMaxLogprobs;
  EXPECT_TRUE(ValidateRequest(request, Limits()).ok());
}

TEST(ValidateTest, NewTokensAreCutWhereTheContextEnds) {
  Request request = Good();
  request.stopping.max_new_tokens = std::numeric_limits<int32_t>::max();
  EXPECT_TRUE(ValidateRequest(request, Limits()).ok());
  EXPECT_EQ(MaxTokensOf(request, 0, 1000), 1000);
  request.stopping.max_new_tokens = 7;
  EXPECT_EQ(MaxTokensOf(request, 0, 1000), 10);
  EXPECT_EQ(MaxTokensOf(request, 500, 1000), 510);
  EXPECT_EQ(MaxTokensOf(request, 992, 1000), 1000);
  request.kind = Request::Kind::kScore;
  EXPECT_EQ(MaxTokensOf(request, 0, 1000), 3);
}

}  // namespace
}  // namespace tlin
