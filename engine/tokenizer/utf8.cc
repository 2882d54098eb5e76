#include "engine/tokenizer/utf8.h"

namespace tlin {

Utf8Char NextUtf8Char(absl::string_view bytes) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {Utf8Char::kWhole, 1, lead};
  if (lead < 0xC2 || lead > 0xF4) return {Utf8Char::kInvalid, 1, 0};
  const uint8_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  // The second byte's range is what keeps out overlong forms (E0, F0), the
  // surrogates (ED) and what lies above 0x10FFFF (F4).
  const uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  char32_t code_point = lead & (0xFF >> (length + 1));
  for (uint8_t i = 1; i < length; ++i) {
    if (i == bytes.size()) return {Utf8Char::kPartial, i, 0};
    if (byte(i) < (i == 1 ? low : 0x80) || byte(i) > (i == 1 ? high : 0xBF)) {
      return {Utf8Char::kInvalid, i, 0};
    }
    code_point = code_point << 6 | (byte(i) & 0x3F);
  }
  return {Utf8Char::kWhole, length, code_point};
}

}  // namespace tlin
