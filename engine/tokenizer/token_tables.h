// A tokenizer's parts, made from a file's fields that are checked against each
// other.
#ifndef TLIN_ENGINE_TOKENIZER_TOKEN_TABLES_H_
#define TLIN_ENGINE_TOKENIZER_TOKEN_TABLES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/tokenizer/added_tokens.h"
#include "engine/tokenizer/bpe.h"
#include "engine/tokenizer/tokenizer_json.h"

namespace tlin {

struct TokenTables {
  struct Token {
    std::string bytes;  // as decoded; empty where the id is in no use
    bool special = false;
    bool spelled = false;  // in the model's vocabulary, in the byte alphabet
  };

  std::vector<Token> tokens;  // [vocab_size]
  Bpe bpe;
  AddedTokens literal;     // added tokens that are found first
  AddedTokens normalized;  // and those found in what is left
};

// INVALID_ARGUMENT names `name` and the field: an id or a content used twice, a
// byte that the vocabulary lacks, a merge of or to an unknown token, an added
// token whose id is not the one that Hugging Face's loader gives it.
absl::StatusOr<TokenTables> BuildTokenTables(const TokenizerSpec& spec,
                                             absl::string_view name);

}  // namespace tlin

#endif  // TLIN_ENGINE_TOKENIZER_TOKEN_TABLES_H_
