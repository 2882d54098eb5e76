#include "engine/validate_request.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/base/status_macros.h"

namespace tlin {
namespace {

template <typename T>
absl::Status OutOfRange(absl::string_view field, T value,
                        absl::string_view range) {
  return absl::InvalidArgumentError(
      absl::StrCat(field, " is ", value, ": want ", range));
}

// NaN is in no range.
#define TLIN_REQUIRE_RANGE(condition, field, value, range)    \
  do {                                                        \
    if (!(condition)) return OutOfRange(field, value, range); \
  } while (false)

absl::Status ValidateSampling(const Sampling& s) {
  TLIN_REQUIRE_RANGE(s.temperature >= 0 && s.temperature <= 100,
                     "sampling.temperature", s.temperature, "0 to 100");
  TLIN_REQUIRE_RANGE(s.top_k >= 0, "sampling.top_k", s.top_k, "0 or more");
  TLIN_REQUIRE_RANGE(s.top_p > 0 && s.top_p <= 1, "sampling.top_p", s.top_p,
                     "more than 0, at most 1");
  TLIN_REQUIRE_RANGE(s.min_p >= 0 && s.min_p <= 1, "sampling.min_p", s.min_p,
                     "0 to 1");
  TLIN_REQUIRE_RANGE(s.repetition_penalty > 0 && s.repetition_penalty <= 100,
                     "sampling.repetition_penalty", s.repetition_penalty,
                     "more than 0, at most 100");
  TLIN_REQUIRE_RANGE(s.frequency_penalty >= -100 && s.frequency_penalty <= 100,
                     "sampling.frequency_penalty", s.frequency_penalty,
                     "-100 to 100");
  TLIN_REQUIRE_RANGE(s.presence_penalty >= -100 && s.presence_penalty <= 100,
                     "sampling.presence_penalty", s.presence_penalty,
                     "-100 to 100");
  return absl::OkStatus();
}

absl::Status ValidateTokens(absl::string_view field,
                            const std::vector<TokenId>& tokens,
                            int32_t vocab_size) {
  for (TokenId token : tokens) {
    TLIN_REQUIRE_RANGE(
        token >= 0 && token < vocab_size, field, token,
        absl::StrCat("token ids of 0 to ", vocab_size - 1, " (vocabulary)"));
  }
  return absl::OkStatus();
}

absl::Status ValidateStopping(const Stopping& stopping,
                              const RequestLimits& limits) {
  TLIN_REQUIRE_RANGE(stopping.max_new_tokens >= 1, "stopping.max_new_tokens",
                     stopping.max_new_tokens, "1 or more");
  TLIN_REQUIRE_RANGE(stopping.min_new_tokens >= 0 &&
                         stopping.min_new_tokens <= stopping.max_new_tokens,
                     "stopping.min_new_tokens", stopping.min_new_tokens,
                     "0 to max_new_tokens");
  TLIN_REQUIRE_RANGE(stopping.stop.size() <= kMaxStopStrings, "stopping.stop",
                     stopping.stop.size(),
                     absl::StrCat("at most ", kMaxStopStrings, " strings"));
  if (!stopping.stop.empty() && !limits.has_tokenizer) {
    return absl::InvalidArgumentError(
        "stopping.stop: the model has no tokenizer");
  }
  for (const std::string& stop : stopping.stop) {
    TLIN_REQUIRE_RANGE(!stop.empty() && stop.size() <= kMaxStopBytes,
                       "stopping.stop", stop.size(),
                       absl::StrCat("1 to ", kMaxStopBytes, " bytes"));
  }
  TLIN_REQUIRE_RANGE(stopping.stop_token_ids.size() <= kMaxStopTokens,
                     "stopping.stop_token_ids", stopping.stop_token_ids.size(),
                     absl::StrCat("at most ", kMaxStopTokens, " ids"));
  TLIN_RETURN_IF_ERROR(ValidateTokens(
      "stopping.stop_token_ids", stopping.stop_token_ids, limits.vocab_size));
  const int64_t enders = static_cast<int64_t>(stopping.stop_token_ids.size()) +
                         (limits.eos_token_id.has_value() ? 1 : 0);
  if (stopping.min_new_tokens > 1 && enders >= limits.vocab_size) {
    return absl::InvalidArgumentError(
        "stopping.min_new_tokens: every token would end the generation");
  }
  return absl::OkStatus();
}

absl::Status ValidatePrompt(const Request& request,
                            const RequestLimits& limits) {
  const bool scoring = request.kind == Request::Kind::kScore;
  const int64_t tokens = static_cast<int64_t>(request.prompt.size());
  // A generation needs room for one new token; a score for a token to predict.
  const int64_t least = scoring ? 2 : 1;
  const int64_t most = std::min(limits.max_prompt_tokens,
                                limits.max_context_tokens - (scoring ? 0 : 1));
  if (tokens < least || tokens > most) {
    return absl::InvalidArgumentError(absl::StrCat(
        "prompt has ", tokens, " tokens: want ", least, " to ", most));
  }
  return ValidateTokens("prompt", request.prompt, limits.vocab_size);
}

#undef TLIN_REQUIRE_RANGE

}  // namespace

absl::Status ValidateRequest(const Request& request,
                             const RequestLimits& limits) {
  TLIN_RETURN_IF_ERROR(ValidatePrompt(request, limits));
  if (request.output.logprobs < 0 || request.output.logprobs > kMaxLogprobs) {
    return OutOfRange("output.logprobs", request.output.logprobs,
                      absl::StrCat("0 to ", kMaxLogprobs));
  }
  if (request.kind == Request::Kind::kScore) return absl::OkStatus();
  TLIN_RETURN_IF_ERROR(ValidateSampling(request.sampling));
  return ValidateStopping(request.stopping, limits);
}

int64_t MaxTokensOf(const Request& request, int64_t session_tokens,
                    int64_t max_context_tokens) {
  const int64_t known =
      session_tokens + static_cast<int64_t>(request.prompt.size());
  if (request.kind == Request::Kind::kScore) return known;
  return std::min(known + request.stopping.max_new_tokens, max_context_tokens);
}

absl::Status CheckEverFits(const ModelRunner& model, int64_t max_tokens) {
  if (model.CouldEverOpen(max_tokens)) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("prompt and max_new_tokens, ", max_tokens,
                   " tokens together, are more than the history pool holds"));
}

}  // namespace tlin
