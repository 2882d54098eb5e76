// GPT-2's spelling of bytes: every byte is one printable character, so that a
// vocabulary of byte strings can stand in a JSON file.
#ifndef TLIN_ENGINE_TOKENIZER_BYTE_ALPHABET_H_
#define TLIN_ENGINE_TOKENIZER_BYTE_ALPHABET_H_

#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"

namespace tlin {

// The bytes that `spelled` (UTF-8) stands for: "Ġthe" is " the". None where a
// character is outside the alphabet.
absl::optional<std::string> BytesOfSpelled(absl::string_view spelled);

}  // namespace tlin

#endif  // TLIN_ENGINE_TOKENIZER_BYTE_ALPHABET_H_
