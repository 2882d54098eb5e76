// One character off the front of bytes that may be anything.
#ifndef TLIN_ENGINE_TOKENIZER_UTF8_H_
#define TLIN_ENGINE_TOKENIZER_UTF8_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace tlin {

struct Utf8Char {
  enum Kind : uint8_t {
    kWhole,    // `length` bytes encode `code_point`
    kPartial,  // all the bytes there are begin a character and do not end it
    kInvalid,  // `length` bytes are a maximal invalid subpart
  };
  Kind kind;
  uint8_t length;  // 1 to 4 bytes
  char32_t code_point;
};

// What `bytes` begins with. Overlong forms, surrogates and code points above
// 0x10FFFF are invalid. REQUIRES: !bytes.empty().
Utf8Char NextUtf8Char(absl::string_view bytes);

}  // namespace tlin

#endif  // TLIN_ENGINE_TOKENIZER_UTF8_H_
