// Byte pair encoding of one word.
#ifndef TLIN_ENGINE_TOKENIZER_BPE_H_
#define TLIN_ENGINE_TOKENIZER_BPE_H_

#include <array>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "engine/token.h"

namespace tlin {

// Filled by its owner, then immutable and thread-safe.
class Bpe {
 public:
  // `byte_ids[b]` is the token of the single byte b.
  explicit Bpe(const std::array<TokenId, 256>& byte_ids)
      : byte_ids_(byte_ids) {}

  // `left` and `right` side by side become `merged`, which spells both. Lower
  // ranks go first; ranks are unique, and a pair's last rank holds.
  void AddMerge(TokenId left, TokenId right, uint32_t rank, TokenId merged);

  // Merges the pair of lowest rank, the leftmost of them, until none is left,
  // and appends the tokens. Time is quadratic up to kShortWord and O(n log n)
  // above it, where nodes and first heap entries take 24 bytes a byte.
  // REQUIRES: word.size() < 2^32 - 1.
  void Encode(absl::string_view word, std::vector<TokenId>* out) const;

 private:
  static constexpr uint32_t kNoMerge = UINT32_MAX;
  static constexpr size_t kShortWord = 32;  // bytes

  struct Merge {
    uint32_t rank;
    TokenId merged;
  };
  struct Node;

  Merge Find(TokenId left, TokenId right) const;
  void EncodeShort(absl::string_view word, std::vector<TokenId>* out) const;
  void EncodeLong(absl::string_view word, std::vector<TokenId>* out) const;

  const std::array<TokenId, 256> byte_ids_;
  absl::flat_hash_map<uint64_t, Merge> merges_;  // left << 32 | right
};

}  // namespace tlin

#endif  // TLIN_ENGINE_TOKENIZER_BPE_H_
