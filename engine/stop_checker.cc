#include "engine/stop_checker.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace tlin {

StopChecker::StopChecker(const Stopping& stopping, const Tokenizer* tokenizer,
                         std::optional<TokenId> eos_token_id)
    : tokenizer_(tokenizer),
      max_new_tokens_(stopping.max_new_tokens),
      min_new_tokens_(stopping.min_new_tokens),
      include_stop_(stopping.include_stop),
      eos_(stopping.ignore_eos ? std::nullopt : eos_token_id),
      stop_token_ids_(stopping.stop_token_ids),
      matcher_(stopping.stop) {
  if (min_new_tokens_ == 0) return;
  enders_ = stop_token_ids_;
  if (eos_.has_value()) enders_.push_back(*eos_);
}

absl::Span<const TokenId> StopChecker::banned() const {
  // The token number min_new_tokens may be the last one.
  if (generated_ + 1 >= min_new_tokens_) return {};
  return enders_;
}

void StopChecker::Decode(TokenId token) {
  decoded_.clear();
  // A model's vocabulary may be larger than its tokenizer's.
  if (tokenizer_ == nullptr || token >= tokenizer_->vocab_size()) return;
  if (!tokenizer_->IsSpecial(token)) {
    decoder_.Append(tokenizer_->Bytes(token), &decoded_);
  }
}

std::optional<FinishReason> StopChecker::Append(TokenId token,
                                                std::string* text) {
  ++generated_;
  const bool may_end = generated_ >= min_new_tokens_;
  const bool stop_token =
      std::find(stop_token_ids_.begin(), stop_token_ids_.end(), token) !=
      stop_token_ids_.end();
  if (may_end && (stop_token || token == eos_)) {
    if (stop_token) {
      stop_match_ = absl::StrCat(token);
      if (include_stop_) {
        Decode(token);
        matcher_.Flush(text);
        text->append(decoded_);
      }
    }
    Flush(text);
    return stop_token ? FinishReason::kStop : FinishReason::kEos;
  }
  Decode(token);
  if (!may_end) {
    text->append(decoded_);
  } else if (matcher_.Append(decoded_, text)) {
    stop_match_ = matcher_.match();
    if (include_stop_) text->append(stop_match_);
    return FinishReason::kStop;
  }
  if (generated_ < max_new_tokens_) return std::nullopt;
  Flush(text);
  return FinishReason::kLength;
}

void StopChecker::Flush(std::string* text) {
  matcher_.Flush(text);
  decoder_.Flush(text);
}

}  // namespace tlin
