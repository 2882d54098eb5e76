// GPT-2's cut of text into words, the units that BPE works within:
//
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
#ifndef TLIN_ENGINE_TOKENIZER_PRE_TOKENIZER_H_
#define TLIN_ENGINE_TOKENIZER_PRE_TOKENIZER_H_

#include <cstddef>

#include "absl/strings/string_view.h"

namespace tlin {

// The bytes of the first word of `text`: what the expression above matches at
// its start. A byte that is no part of valid UTF-8 counts as a symbol. Linear
// in the word's length. REQUIRES: !text.empty(); ensures: 1 <= result <=
// text.size().
size_t FirstWordLength(absl::string_view text);

}  // namespace tlin

#endif  // TLIN_ENGINE_TOKENIZER_PRE_TOKENIZER_H_
