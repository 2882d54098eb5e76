// States at window boundaries that sequences with equal prefixes share.
#ifndef TLIN_ENGINE_SESSION_PREFIX_CACHE_H_
#define TLIN_ENGINE_SESSION_PREFIX_CACHE_H_

#include <array>
#include <cstdint>
#include <list>
#include <memory>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/session/session.h"
#include "engine/token.h"

namespace tlin {

// Names a prefix of whole windows, of one model: SHA-256 of the key of the
// prefix without its last window, and that window's tokens. So a longer prefix
// costs its new windows only, and nobody can find two prefixes with one key.
struct PrefixKey {
  int64_t tokens = 0;
  std::array<uint8_t, 32> digest = {};

  friend bool operator==(const PrefixKey&, const PrefixKey&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const PrefixKey& key) {
    return H::combine(std::move(h), key.digest);
  }
};

// Holds at most so many bytes of states; the least recently used ones are let
// go first. A state is a function of its prefix alone (MODEL: "What follows for
// an engine"), so it never grows old. Engine thread only.
class PrefixCache {
 public:
  // `fingerprint` and `window` are the model's.
  PrefixCache(absl::string_view fingerprint, int32_t window,
              int64_t most_bytes);

  // Of the empty prefix.
  const PrefixKey& root() const { return root_; }
  // The key of `tokens`, which begin with the prefix of `key`.
  // REQUIRES: whole windows, no fewer than the key's.
  PrefixKey Extend(const PrefixKey& key,
                   absl::Span<const TokenId> tokens) const;

  bool Fits(int64_t state_bytes) const { return state_bytes <= most_bytes_; }
  bool Has(const PrefixKey& key) const { return by_key_.contains(key); }
  // Null: there is none.
  std::shared_ptr<const SavedState> Find(const PrefixKey& key);
  // Takes the place of one that is there. REQUIRES: Fits.
  void Insert(const PrefixKey& key, std::shared_ptr<const SavedState> state);
  void Erase(const PrefixKey& key);

  int64_t bytes() const { return bytes_; }
  int64_t size() const { return static_cast<int64_t>(by_key_.size()); }

 private:
  struct Entry {
    PrefixKey key;
    std::shared_ptr<const SavedState> state;
  };
  using List = std::list<Entry>;

  // Constant after construction.
  const int32_t window_;
  const int64_t most_bytes_;
  PrefixKey root_;

  List entries_;  // the least recently used first
  absl::flat_hash_map<PrefixKey, List::iterator> by_key_;
  int64_t bytes_ = 0;
  mutable std::vector<uint8_t> link_;  // scratch: what a key is the hash of
};

}  // namespace tlin

#endif  // TLIN_ENGINE_SESSION_PREFIX_CACHE_H_
