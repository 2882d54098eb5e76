// Tokens that are found in the raw text, before it is cut into words.
#ifndef TLIN_ENGINE_TOKENIZER_ADDED_TOKENS_H_
#define TLIN_ENGINE_TOKENIZER_ADDED_TOKENS_H_

#include <bitset>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/token.h"

namespace tlin {

// Immutable after construction and thread-safe.
class AddedTokens {
 public:
  struct Match {
    size_t
        begin;  // bytes from the text's start; text.size() where none is left
    size_t length;
    TokenId id;
  };

  // REQUIRES: contents are not empty and differ.
  explicit AddedTokens(std::vector<std::pair<std::string, TokenId>> tokens);

  // The leftmost match at or after byte `from`, and the longest of those.
  Match FindNext(absl::string_view text, size_t from) const;

 private:
  // The longest token that `text` begins with; length 0 where there is none.
  Match LongestPrefix(absl::string_view text) const;

  std::vector<std::pair<std::string, TokenId>>
      tokens_;  // by content, ascending
  std::bitset<256> first_bytes_;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_TOKENIZER_ADDED_TOKENS_H_
