#include "engine/tokenizer/pre_tokenizer.h"

#include <cstdint>

#include "engine/tokenizer/unicode_classes.h"
#include "engine/tokenizer/utf8.h"

namespace tlin {
namespace {

struct ClassifiedChar {
  CharClass char_class;
  size_t length;  // bytes
};

// REQUIRES: at < text.size().
ClassifiedChar CharAt(absl::string_view text, size_t at) {
  const auto byte = static_cast<uint8_t>(text[at]);
  if (byte < 0x80) return {Classify(byte), 1};
  const Utf8Char next = NextUtf8Char(text.substr(at));
  if (next.kind != Utf8Char::kWhole) return {CharClass::kOther, 1};
  return {Classify(next.code_point), next.length};
}

// Where the run of `char_class` that includes text[at - 1] ends.
size_t RunEnd(absl::string_view text, size_t at, CharClass char_class) {
  while (at < text.size()) {
    const ClassifiedChar next = CharAt(text, at);
    if (next.char_class != char_class) break;
    at += next.length;
  }
  return at;
}

// 's 't 'm 'd 're 've 'll, or 0. REQUIRES: text[0] == '\''.
size_t ContractionLength(absl::string_view text) {
  if (text.size() < 2) return 0;
  switch (text[1]) {
    case 's':
    case 't':
    case 'm':
    case 'd':
      return 2;
    case 'r':
    case 'v':
      return text.size() > 2 && text[2] == 'e' ? 3 : 0;
    case 'l':
      return text.size() > 2 && text[2] == 'l' ? 3 : 0;
    default:
      return 0;
  }
}

}  // namespace

size_t FirstWordLength(absl::string_view text) {
  if (text[0] == '\'') {
    const size_t length = ContractionLength(text);
    if (length != 0) return length;
  }
  const ClassifiedChar first = CharAt(text, 0);
  if (first.char_class != CharClass::kSpace) {
    return RunEnd(text, first.length, first.char_class);
  }
  if (text[0] == ' ' && text.size() > 1) {
    const ClassifiedChar second = CharAt(text, 1);
    if (second.char_class != CharClass::kSpace) {
      return RunEnd(text, 1 + second.length, second.char_class);
    }
  }
  // `\s+(?!\S)` gives back the last space of a run that a word follows, unless
  // it is the only one: then `\s+` takes it.
  size_t end = first.length;
  size_t last = first.length;
  while (end < text.size()) {
    const ClassifiedChar next = CharAt(text, end);
    if (next.char_class != CharClass::kSpace) {
      return end == last ? end : end - last;
    }
    last = next.length;
    end += last;
  }
  return end;
}

}  // namespace tlin
