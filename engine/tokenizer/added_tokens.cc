#include "engine/tokenizer/added_tokens.h"

#include <algorithm>
#include <cstdint>

namespace tlin {

AddedTokens::AddedTokens(std::vector<std::pair<std::string, TokenId>> tokens)
    : tokens_(std::move(tokens)) {
  std::sort(tokens_.begin(), tokens_.end());
  for (const auto& token : tokens_) {
    first_bytes_.set(static_cast<uint8_t>(token.first[0]));
  }
}

AddedTokens::Match AddedTokens::FindNext(absl::string_view text,
                                         size_t from) const {
  if (tokens_.empty()) return {text.size(), 0, 0};
  for (size_t at = from; at < text.size(); ++at) {
    if (!first_bytes_[static_cast<uint8_t>(text[at])]) continue;
    Match match = LongestPrefix(text.substr(at));
    if (match.length == 0) continue;
    match.begin = at;
    return match;
  }
  return {text.size(), 0, 0};
}

AddedTokens::Match AddedTokens::LongestPrefix(absl::string_view text) const {
  Match longest = {0, 0, 0};
  // [low, high): the tokens that begin with the first `depth` bytes of the
  // text. A token of just these bytes, if there is one, is the first of them.
  auto low = tokens_.begin();
  auto high = tokens_.end();
  for (size_t depth = 0; depth < text.size() && low != high; ++depth) {
    const auto byte = static_cast<uint8_t>(text[depth]);
    // A token of `depth` bytes sorts before all others, so `after` never sees
    // it.
    const auto before = [depth](const auto& token, uint8_t bound) {
      return token.first.size() <= depth ||
             static_cast<uint8_t>(token.first[depth]) < bound;
    };
    const auto after = [depth](uint8_t bound, const auto& token) {
      return bound < static_cast<uint8_t>(token.first[depth]);
    };
    low = std::lower_bound(low, high, byte, before);
    high = std::upper_bound(low, high, byte, after);
    if (low != high && low->first.size() == depth + 1) {
      longest = {0, depth + 1, low->second};
    }
  }
  return longest;
}

}  // namespace tlin
