// The three classes of characters that GPT-2's pre-tokenizer tells apart.
#ifndef TLIN_ENGINE_TOKENIZER_UNICODE_CLASSES_H_
#define TLIN_ENGINE_TOKENIZER_UNICODE_CLASSES_H_

#include <cstdint>

namespace tlin {

// The values stand in the generated table.
enum class CharClass : uint8_t {
  kOther = 0,
  kLetter = 1,  // \p{L}
  kNumber = 2,  // \p{N}
  kSpace = 3,   // \s
};

// Any code point, ASCII too, by binary search; the caller has a faster way for
// ASCII. REQUIRES: c <= 0x10FFFF.
CharClass ClassifyNonAscii(char32_t c);

inline CharClass Classify(char32_t c) {
  if (c >= 0x80) return ClassifyNonAscii(c);
  if ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') return CharClass::kLetter;
  if (c >= '0' && c <= '9') return CharClass::kNumber;
  if (c == ' ' || (c >= '\t' && c <= '\r')) return CharClass::kSpace;
  return CharClass::kOther;
}

}  // namespace tlin

#endif  // TLIN_ENGINE_TOKENIZER_UNICODE_CLASSES_H_
