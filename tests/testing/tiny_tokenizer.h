// A vocabulary that a test can read.
#ifndef TLIN_TESTS_TESTING_TINY_TOKENIZER_H_
#define TLIN_TESTS_TESTING_TINY_TOKENIZER_H_

#include <string>
#include <vector>

#include "engine/tokenizer/tokenizer.h"

namespace tlin {

// Token i stands for pieces[i]; one that begins with "<|" is special.
class TinyTokenizer final : public Tokenizer {
 public:
  explicit TinyTokenizer(std::vector<std::string> pieces)
      : pieces_(std::move(pieces)) {}
  // The lower-case letters, then a space, then "<|end|>": 28 tokens.
  static TinyTokenizer Letters();

  int32_t vocab_size() const override {
    return static_cast<int32_t>(pieces_.size());
  }
  // Longest piece first; bytes that no piece begins are dropped.
  std::vector<TokenId> Encode(absl::string_view text) const override;
  absl::string_view Bytes(TokenId id) const override {
    return pieces_[static_cast<size_t>(id)];
  }
  bool IsSpecial(TokenId id) const override;

 private:
  const std::vector<std::string> pieces_;
};

}  // namespace tlin

#endif  // TLIN_TESTS_TESTING_TINY_TOKENIZER_H_
