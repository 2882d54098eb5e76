#include "engine/tokenizer/byte_level_tokenizer.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/tokenizer/pre_tokenizer.h"

namespace tlin {
namespace {

// Calls `between` for what lies around the matches of `tokens`, never empty.
template <typename Between>
void SplitAt(const AddedTokens& tokens, absl::string_view text,
             std::vector<TokenId>* out, const Between& between) {
  for (size_t at = 0; at < text.size();) {
    const AddedTokens::Match match = tokens.FindNext(text, at);
    if (match.begin > at) between(text.substr(at, match.begin - at));
    if (match.length > 0) out->push_back(match.id);
    at = match.begin + match.length;
  }
}

}  // namespace

ByteLevelTokenizer::ByteLevelTokenizer(const TokenizerSpec& spec,
                                       TokenTables tables)
    : add_prefix_space_(spec.add_prefix_space),
      use_regex_(spec.use_regex),
      tables_(std::move(tables)) {
  IndexWords(spec.ignore_merges);
}

void ByteLevelTokenizer::IndexWords(bool ignore_merges) {
  std::vector<TokenId> merged;
  for (TokenId id = 0; id < vocab_size(); ++id) {
    const TokenTables::Token& token = tables_.tokens[id];
    if (!token.spelled || token.bytes.empty()) continue;
    if (!ignore_merges) {
      // Not every token is what its own bytes merge to: an earlier merge may
      // take another way through them.
      merged.clear();
      tables_.bpe.Encode(token.bytes, &merged);
      if (merged.size() != 1) continue;
    }
    words_.emplace(token.bytes, id);
    longest_word_ = std::max(longest_word_, token.bytes.size());
  }
}

std::vector<TokenId> ByteLevelTokenizer::Encode(absl::string_view text) const {
  std::vector<TokenId> ids;
  SplitAt(tables_.literal, text, &ids,
          [&](absl::string_view part) { EncodeNormalized(part, &ids); });
  return ids;
}

void ByteLevelTokenizer::EncodeNormalized(absl::string_view text,
                                          std::vector<TokenId>* out) const {
  SplitAt(tables_.normalized, text, out,
          [&](absl::string_view part) { EncodePlain(part, out); });
}

void ByteLevelTokenizer::EncodePlain(absl::string_view text,
                                     std::vector<TokenId>* out) const {
  std::string prefixed;
  if (add_prefix_space_ && text[0] != ' ') {
    prefixed = absl::StrCat(" ", text);
    text = prefixed;
  }
  while (!text.empty()) {
    const size_t length = use_regex_ ? FirstWordLength(text) : text.size();
    EncodeWord(text.substr(0, length), out);
    text.remove_prefix(length);
  }
}

void ByteLevelTokenizer::EncodeWord(absl::string_view word,
                                    std::vector<TokenId>* out) const {
  if (word.size() <= longest_word_) {
    const auto it = words_.find(word);
    if (it != words_.end()) {
      out->push_back(it->second);
      return;
    }
  }
  tables_.bpe.Encode(word, out);
}

}  // namespace tlin
