#include "tests/testing/tiny_tokenizer.h"

#include "absl/strings/match.h"

namespace tlin {

TinyTokenizer TinyTokenizer::Letters() {
  std::vector<std::string> pieces;
  for (char c = 'a'; c <= 'z'; ++c) pieces.push_back(std::string(1, c));
  pieces.push_back(" ");
  pieces.push_back("<|end|>");
  return TinyTokenizer(std::move(pieces));
}

std::vector<TokenId> TinyTokenizer::Encode(absl::string_view text) const {
  std::vector<TokenId> ids;
  while (!text.empty()) {
    TokenId best = -1;
    size_t length = 0;
    for (TokenId id = 0; id < vocab_size(); ++id) {
      const absl::string_view piece = Bytes(id);
      if (piece.size() <= length || !absl::StartsWith(text, piece)) continue;
      best = id;
      length = piece.size();
    }
    if (best >= 0) ids.push_back(best);
    text.remove_prefix(best >= 0 ? length : 1);
  }
  return ids;
}

bool TinyTokenizer::IsSpecial(TokenId id) const {
  return absl::StartsWith(Bytes(id), "<|");
}

}  // namespace tlin
