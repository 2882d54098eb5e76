// When a generation ends by itself, and which text its caller may read by now.
#ifndef TLIN_ENGINE_STOP_CHECKER_H_
#define TLIN_ENGINE_STOP_CHECKER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "engine/request.h"
#include "engine/stop_matcher.h"
#include "engine/token.h"
#include "engine/token_sink.h"
#include "engine/tokenizer/stream_decoder.h"
#include "engine/tokenizer/tokenizer.h"

namespace tlin {

// One generation's. Engine thread only.
//
// Text: the tokens' bytes, special tokens' left out, as whole UTF-8. A stop
// token adds its text only with include_stop; the end-of-text token never does.
// min_new_tokens: no end before that many tokens; until the last of them text
// is not searched for stop strings either, so one that begins in it is not
// found.
class StopChecker {
 public:
  // `tokenizer` may be null: then there is no text and `stopping.stop` is
  // empty. It outlives the checker; `stopping` is copied from.
  StopChecker(const Stopping& stopping, const Tokenizer* tokenizer,
              std::optional<TokenId> eos_token_id);

  // The next token. Appends to `text` what is decided now. A reason where the
  // generation ends with this token; then all text is out.
  std::optional<FinishReason> Append(TokenId token, std::string* text);
  // The generation ends for another reason: appends all text that is held.
  void Flush(std::string* text);

  // Text that may turn out to be a stop string is held back.
  bool holding() const { return matcher_.holding(); }
  // The stop string, or the stop token's number, that ended it.
  const std::string& stop_match() const { return stop_match_; }
  // Tokens that would end the generation too early now: not to be sampled.
  absl::Span<const TokenId> banned() const;

 private:
  // Sets decoded_ to the text that became whole with the token.
  void Decode(TokenId token);

  // Constant after construction.
  const Tokenizer* const tokenizer_;
  const int32_t max_new_tokens_;
  const int32_t min_new_tokens_;
  const bool include_stop_;
  const std::optional<TokenId> eos_;  // none where it is ignored
  std::vector<TokenId> stop_token_ids_;
  std::vector<TokenId>
      enders_;  // eos_ and stop_token_ids_, where a ban is needed

  int32_t generated_ = 0;
  StreamDecoder decoder_;
  StopMatcher matcher_;
  std::string decoded_;  // scratch of one Append
  std::string stop_match_;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_STOP_CHECKER_H_
