#include "client/load_flags.h"

#include <cmath>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace tlin::client {
namespace {

constexpr int64_t kMostTokens = int64_t{1} << 30;

absl::Status Wrong(absl::string_view flag, absl::string_view wanted) {
  return absl::InvalidArgumentError(absl::StrCat("--", flag, ": ", wanted));
}

}  // namespace

std::optional<Range> ParseRange(absl::string_view text) {
  const std::vector<absl::string_view> ends = absl::StrSplit(text, ':');
  Range range;
  if (ends.size() > 2 || !absl::SimpleAtoi(ends.front(), &range.low) ||
      !absl::SimpleAtoi(ends.back(), &range.high) || range.low < 1 ||
      range.low > range.high || range.high > kMostTokens) {
    return std::nullopt;
  }
  return range;
}

LoadFlags::LoadFlags(FlagSet* flags) {
  flags->Add("model", &options_.model,
             "Name of the model; empty: the server's default.");
  flags->Add("rate", &options_.rate,
             "Open loop: requests a second, arriving at random (Poisson).");
  flags->Add("concurrency", &options_.concurrency,
             "Closed loop: streams at a time, each followed by the next.");
  flags->Add("requests", &options_.requests, "End after that many requests.");
  flags->Add("duration", &options_.duration,
             "Start none after that time; the running ones are waited for.");
  flags->Add("deadline", &options_.deadline, "Time for each request.");
  flags->Add("prompt_tokens", &prompt_tokens_,
             "Prompt length, or a range LOW:HIGH to draw it from; tokens are "
             "drawn as well.");
  flags->Add("prompts", &options_.prompts,
             "A file of prompts as text, one a line, taken in turn.");
  flags->Add("max_new_tokens", &max_new_tokens_, "A number or LOW:HIGH.");
  flags->Add("temperature", &options_.temperature, "Default 1; 0 is greedy.");
  flags->Add("ignore_eos", &options_.ignore_eos,
             "Every answer has max_new_tokens.");
  flags->Add("bypass_prefix_cache", &options_.bypass_prefix_cache,
             "Compute each prompt anew.");
  flags->Add("seed", &options_.seed,
             "Same seed: same arrivals, same prompts, same sampling seeds.");
  flags->Add("json", &options_.json,
             "Write the figures to this file; - for stdout, no table then.");
  connection_flags_.AddTo(flags);
}

absl::Status LoadFlags::Get(LoadOptions* options) const {
  LoadOptions result = options_;
  result.connection = connection_flags_.connection();
  if (!std::isfinite(result.rate) || result.rate < 0 || result.rate > 1e6) {
    return Wrong("rate", "want 0 to 1000000 a second");
  }
  if (result.concurrency < 1 || result.concurrency > 100000) {
    return Wrong("concurrency", "want 1 to 100000");
  }
  if (result.rate > 0 && result.concurrency != 1) {
    return Wrong("concurrency", "--rate is given as well; one of them");
  }
  if (result.requests < 0) return Wrong("requests", "want 0 or more");
  if (result.duration < absl::ZeroDuration()) {
    return Wrong("duration", "want 0 or more");
  }
  if (result.requests == 0 && (result.duration == absl::ZeroDuration() ||
                               result.duration == absl::InfiniteDuration())) {
    return Wrong("requests", "or --duration has to say when the load ends");
  }
  if (result.deadline <= absl::ZeroDuration() ||
      result.deadline > absl::Hours(24)) {
    return Wrong("deadline", "want more than 0, at most 24h");
  }
  const std::optional<Range> prompt = ParseRange(prompt_tokens_);
  if (!prompt.has_value()) {
    return Wrong("prompt_tokens", "want a number above 0, or LOW:HIGH");
  }
  const std::optional<Range> answer = ParseRange(max_new_tokens_);
  if (!answer.has_value()) {
    return Wrong("max_new_tokens", "want a number above 0, or LOW:HIGH");
  }
  result.prompt_tokens = *prompt;
  result.max_new_tokens = *answer;
  *options = std::move(result);
  return absl::OkStatus();
}

}  // namespace tlin::client
