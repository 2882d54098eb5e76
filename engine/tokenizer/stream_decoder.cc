#include "engine/tokenizer/stream_decoder.h"

#include <utility>

#include "engine/tokenizer/utf8.h"

namespace tlin {
namespace {

constexpr absl::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

}  // namespace

void StreamDecoder::Append(absl::string_view bytes, std::string* out) {
  std::string joined;
  if (!pending_.empty()) {
    joined = std::exchange(pending_, std::string());
    joined.append(bytes.data(), bytes.size());
    bytes = joined;
  }
  while (!bytes.empty()) {
    const Utf8Char next = NextUtf8Char(bytes);
    const absl::string_view head = bytes.substr(0, next.length);
    switch (next.kind) {
      case Utf8Char::kWhole:
        out->append(head.data(), head.size());
        break;
      case Utf8Char::kInvalid:
        out->append(kReplacement.data(), kReplacement.size());
        break;
      case Utf8Char::kPartial:
        pending_.assign(head.data(), head.size());
        break;
    }
    bytes.remove_prefix(next.length);
  }
}

void StreamDecoder::Flush(std::string* out) {
  if (pending_.empty()) return;
  pending_.clear();
  out->append(kReplacement.data(), kReplacement.size());
}

}  // namespace tlin
