// The parts of Hugging Face's tokenizer.json that byte-level BPE is made of.
#ifndef TLIN_ENGINE_TOKENIZER_TOKENIZER_JSON_H_
#define TLIN_ENGINE_TOKENIZER_TOKENIZER_JSON_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/token.h"

namespace tlin {

// Bounds on what a file may ask for. The largest vocabulary in use has 262,144
// ids.
inline constexpr TokenId kMaxTokenId = (1 << 20) - 1;
inline constexpr size_t kMaxTokenBytes = 4096;  // as the file spells it
inline constexpr size_t kMaxAddedTokenBytes =
    256;  // each is tried at every byte

struct TokenizerSpec {
  struct VocabEntry {
    std::string spelled;  // in the byte alphabet, as a rule
    TokenId id;
  };
  struct Merge {
    std::string left, right;  // spelled
  };
  struct AddedToken {
    std::string content;  // as it stands in text
    TokenId id;
    bool normalized;
    bool special;
  };

  std::vector<VocabEntry> vocab;  // spellings differ
  std::vector<Merge> merges;      // by rank
  std::vector<AddedToken> added_tokens;
  bool add_prefix_space = false;
  bool use_regex = true;
  bool ignore_merges = false;
};

// Takes what the JSON says, each field on its own: type, range, and that it
// asks for nothing unsupported. INVALID_ARGUMENT names file (`name`) and field.
// That the fields agree with each other is the caller's to check.
absl::StatusOr<TokenizerSpec> ReadTokenizerJson(absl::string_view json,
                                                absl::string_view name);

// "NAME: FIELD: MESSAGE".
absl::Status TokenizerFieldError(absl::string_view name,
                                 absl::string_view field,
                                 absl::string_view message);

// A token of the file in quotes, escaped and cut to a length fit for a message.
std::string QuotedToken(absl::string_view token);

}  // namespace tlin

#endif  // TLIN_ENGINE_TOKENIZER_TOKENIZER_JSON_H_
