// Added tokens, then words, then byte pairs.
#ifndef TLIN_ENGINE_TOKENIZER_BYTE_LEVEL_TOKENIZER_H_
#define TLIN_ENGINE_TOKENIZER_BYTE_LEVEL_TOKENIZER_H_

#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "engine/tokenizer/token_tables.h"
#include "engine/tokenizer/tokenizer.h"
#include "engine/tokenizer/tokenizer_json.h"

namespace tlin {

// Immutable after construction and thread-safe.
class ByteLevelTokenizer final : public Tokenizer {
 public:
  // `tables` are `spec`'s.
  ByteLevelTokenizer(const TokenizerSpec& spec, TokenTables tables);

  int32_t vocab_size() const override {
    return static_cast<int32_t>(tables_.tokens.size());
  }
  std::vector<TokenId> Encode(absl::string_view text) const override;
  absl::string_view Bytes(TokenId id) const override {
    return tables_.tokens[id].bytes;
  }
  bool IsSpecial(TokenId id) const override {
    return tables_.tokens[id].special;
  }

 private:
  void IndexWords(bool ignore_merges);

  // Each finds its own tokens in `text` and hands on what lies between them.
  void EncodeNormalized(absl::string_view text,
                        std::vector<TokenId>* out) const;
  void EncodePlain(absl::string_view text, std::vector<TokenId>* out) const;
  void EncodeWord(absl::string_view word, std::vector<TokenId>* out) const;

  const bool add_prefix_space_;
  const bool use_regex_;
  const TokenTables tables_;
  // Words that are one token, as most are: a single look-up, no merging.
  absl::flat_hash_map<absl::string_view, TokenId> words_;  // keys in tables_
  size_t longest_word_ = 0;                                // bytes, of words_
};

}  // namespace tlin

#endif  // TLIN_ENGINE_TOKENIZER_BYTE_LEVEL_TOKENIZER_H_
