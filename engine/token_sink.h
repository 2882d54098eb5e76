// Where a request's events go.
#ifndef TLIN_ENGINE_TOKEN_SINK_H_
#define TLIN_ENGINE_TOKEN_SINK_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/sampling/sampling.h"
#include "engine/token.h"

namespace tlin {

struct TokenLogprobs {
  TokenId token_id = 0;
  // Of the model's distribution, before sampling's changes.
  float logprob = 0.0f;
  int32_t rank = 0;  // 1: the likeliest
  std::vector<Candidate> top;
};

// New tokens of a request and the text that became whole with them.
struct Chunk {
  std::string
      text;  // whole UTF-8; may be empty while a stop string is possible
  std::vector<TokenId> token_ids;
  std::vector<TokenLogprobs> logprobs;  // one a token where asked for
};

struct Started {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;
  uint64_t seed = 0;
};

enum class FinishReason { kEos, kStop, kLength, kDeadline, kInterrupted };

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;
  int64_t generated_tokens = 0;
  int64_t syncs = 0;
};

struct Timing {
  absl::Duration queue;
  absl::Duration first_token;  // from submission; zero where there was none
  absl::Duration total;
  absl::Duration sync;
};

struct Finished {
  FinishReason reason = FinishReason::kLength;
  std::string stop_match;
  Usage usage;
  Timing timing;
};

// Called on the engine thread, in order, and must not block: an implementation
// hands the event over and returns. Exactly one of OnFinished and OnError is
// called, last, for each accepted request.
class TokenSink {
 public:
  virtual ~TokenSink() = default;

  // The request got a slot.
  virtual void OnStarted(const Started& started) = 0;
  // The sink copies what it needs: the engine fills the same chunk again, so
  // that a token takes nothing from the heap. It merges what its reader has not
  // taken yet.
  virtual void OnChunk(const Chunk& chunk) = 0;
  virtual void OnFinished(const Finished& finished) = 0;
  // DEADLINE_EXCEEDED: passed before the first token. CANCELLED: the caller
  // asked for it. UNAVAILABLE: the engine stops. INTERNAL: the model failed.
  virtual void OnError(const absl::Status& status) = 0;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_TOKEN_SINK_H_
