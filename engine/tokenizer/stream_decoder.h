// Bytes in, whole UTF-8 out.
#ifndef TLIN_ENGINE_TOKENIZER_STREAM_DECODER_H_
#define TLIN_ENGINE_TOKENIZER_STREAM_DECODER_H_

#include <string>

#include "absl/strings/string_view.h"

namespace tlin {

// Holds back at most the three bytes of a character that is not yet whole.
// Bytes that can be part of no character become U+FFFD, one for each maximal
// invalid subpart, as the Unicode standard recommends. Not thread-safe.
class StreamDecoder {
 public:
  // Appends to `out` what is whole now.
  void Append(absl::string_view bytes, std::string* out);
  // Ends the stream: a character left unfinished becomes one U+FFFD.
  void Flush(std::string* out);

 private:
  std::string pending_;  // an unfinished prefix of a character, 0 to 3 bytes
};

}  // namespace tlin

#endif  // TLIN_ENGINE_TOKENIZER_STREAM_DECODER_H_
