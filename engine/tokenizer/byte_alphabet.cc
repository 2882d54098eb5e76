#include "engine/tokenizer/byte_alphabet.h"

#include <array>
#include <cstdint>

#include "engine/tokenizer/utf8.h"

namespace tlin {
namespace {

// Bytes that are printable characters of Latin-1 spell themselves; the other 68
// are spelled by U+0100, U+0101, ... in ascending order.
constexpr bool SpellsItself(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
}

constexpr int16_t kNoByte = -1;
constexpr size_t kAlphabetEnd = 0x100 + 68;

// [code point] -> byte
constexpr std::array<int16_t, kAlphabetEnd> MakeByteOf() {
  std::array<int16_t, kAlphabetEnd> byte_of = {};
  for (int16_t& byte : byte_of) byte = kNoByte;
  int next = 0x100;
  for (int byte = 0; byte < 0x100; ++byte) {
    byte_of[SpellsItself(byte) ? byte : next++] = static_cast<int16_t>(byte);
  }
  return byte_of;
}

constexpr std::array<int16_t, kAlphabetEnd> kByteOf = MakeByteOf();
static_assert(kByteOf[0x120] == ' ' && kByteOf[kAlphabetEnd - 1] == 0xAD);

}  // namespace

absl::optional<std::string> BytesOfSpelled(absl::string_view spelled) {
  std::string bytes;
  while (!spelled.empty()) {
    const Utf8Char next = NextUtf8Char(spelled);
    if (next.kind != Utf8Char::kWhole || next.code_point >= kAlphabetEnd ||
        kByteOf[next.code_point] == kNoByte) {
      return absl::nullopt;
    }
    bytes.push_back(static_cast<char>(kByteOf[next.code_point]));
    spelled.remove_prefix(next.length);
  }
  return bytes;
}

}  // namespace tlin
