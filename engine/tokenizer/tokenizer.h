// Byte-level BPE as a Hugging Face tokenizer.json of GPT-2's kind describes it.
#ifndef TLIN_ENGINE_TOKENIZER_TOKENIZER_H_
#define TLIN_ENGINE_TOKENIZER_TOKENIZER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/token.h"

namespace tlin {

// Immutable after construction and thread-safe.
class Tokenizer {
 public:
  // Reads Hugging Face's tokenizer.json: model BPE, ByteLevel pre-tokenizer and
  // decoder, added and special tokens. Errors name the file and the JSON field:
  // INVALID_ARGUMENT for what is malformed or not supported, NOT_FOUND for a
  // missing file.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Load(
      const std::string& path);
  // The same from memory; `name` stands in messages where the path would.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Parse(
      absl::string_view json, absl::string_view name);

  virtual ~Tokenizer() = default;

  // Ids are in [0, vocab_size()).
  virtual int32_t vocab_size() const = 0;

  // Any bytes are accepted, valid UTF-8 or not; Decode(Encode(b)) == b, but for
  // the spaces that a file with add_prefix_space puts in. Time is O(n log n) at
  // worst.
  // REQUIRES: text.size() < 2^32 - 1.
  virtual std::vector<TokenId> Encode(absl::string_view text) const = 0;

  // The bytes that `id` stands for; empty for ids in no use.
  // REQUIRES: 0 <= id < vocab_size().
  virtual absl::string_view Bytes(TokenId id) const = 0;

  // True of tokens marked special (as <|endoftext|>), which are not part of the
  // text that a caller reads.
  // REQUIRES: 0 <= id < vocab_size().
  virtual bool IsSpecial(TokenId id) const = 0;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_TOKENIZER_TOKENIZER_H_
