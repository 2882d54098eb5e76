// Names that can stand in a file's name, a log line and a metric's label.
#ifndef TLIN_SERVER_PLAIN_NAME_H_
#define TLIN_SERVER_PLAIN_NAME_H_

#include <algorithm>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"

namespace tlin {

// 1 to `most` of A-Z a-z 0-9 . _ -, not beginning with a dot.
inline bool IsPlainName(absl::string_view text, size_t most) {
  return !text.empty() && text.size() <= most && text[0] != '.' &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                  c == '.' || c == '_' || c == '-';
         });
}

}  // namespace tlin

#endif  // TLIN_SERVER_PLAIN_NAME_H_
