// What a request must satisfy before it waits for a slot.
#ifndef TLIN_ENGINE_VALIDATE_REQUEST_H_
#define TLIN_ENGINE_VALIDATE_REQUEST_H_

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "engine/model_runner.h"
#include "engine/request.h"
#include "engine/token.h"

namespace tlin {

// Bounds on one request, so that no caller makes a step dear or large.
inline constexpr size_t kMaxStopStrings = 16;
inline constexpr size_t kMaxStopBytes = 256;
inline constexpr size_t kMaxStopTokens = 128;

struct RequestLimits {
  int32_t vocab_size = 0;
  int64_t max_context_tokens = 0;
  int64_t max_prompt_tokens = 0;  // at most max_context_tokens
  bool has_tokenizer = false;
  std::optional<TokenId> eos_token_id;
};

// INVALID_ARGUMENT; the message begins with the field's name. Pure.
absl::Status ValidateRequest(const Request& request,
                             const RequestLimits& limits);

// The tokens that a session has before, and prompt and new tokens of a valid
// request: max_new_tokens is cut where the model's context ends.
int64_t MaxTokensOf(const Request& request, int64_t session_tokens,
                    int64_t max_context_tokens);

// RESOURCE_EXHAUSTED where the model could never hold so many. Thread-safe.
absl::Status CheckEverFits(const ModelRunner& model, int64_t max_tokens);

}  // namespace tlin

#endif  // TLIN_ENGINE_VALIDATE_REQUEST_H_
