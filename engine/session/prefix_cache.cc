#include "engine/session/prefix_cache.h"

#include <openssl/sha.h>

#include <cstring>
#include <iterator>

#include "engine/base/check.h"

namespace tlin {
namespace {

int64_t BytesOf(const SavedState& state) {
  return static_cast<int64_t>(state.bytes.size());
}

}  // namespace

PrefixCache::PrefixCache(absl::string_view fingerprint, int32_t window,
                         int64_t most_bytes)
    : window_(window), most_bytes_(most_bytes) {
  static_assert(SHA256_DIGEST_LENGTH == sizeof(PrefixKey::digest));
  SHA256(reinterpret_cast<const uint8_t*>(fingerprint.data()),
         fingerprint.size(), root_.digest.data());
  link_.resize(root_.digest.size() +
               static_cast<size_t>(window) * sizeof(TokenId));
}

PrefixKey PrefixCache::Extend(const PrefixKey& key,
                              absl::Span<const TokenId> tokens) const {
  const auto end = static_cast<int64_t>(tokens.size());
  TLIN_CHECK(window_ > 0 && end % window_ == 0 && end >= key.tokens);
  PrefixKey next = key;
  for (; next.tokens < end; next.tokens += window_) {
    const size_t before = next.digest.size();
    std::memcpy(link_.data(), next.digest.data(), before);
    std::memcpy(link_.data() + before, &tokens[next.tokens],
                link_.size() - before);
    SHA256(link_.data(), link_.size(), next.digest.data());
  }
  return next;
}

std::shared_ptr<const SavedState> PrefixCache::Find(const PrefixKey& key) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return nullptr;
  entries_.splice(entries_.end(), entries_, found->second);
  return found->second->state;
}

void PrefixCache::Insert(const PrefixKey& key,
                         std::shared_ptr<const SavedState> state) {
  TLIN_CHECK(Fits(BytesOf(*state)));
  Erase(key);
  bytes_ += BytesOf(*state);
  entries_.push_back({key, std::move(state)});
  by_key_.emplace(key, std::prev(entries_.end()));
  while (bytes_ > most_bytes_) Erase(entries_.front().key);
}

void PrefixCache::Erase(const PrefixKey& key) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return;
  bytes_ -= BytesOf(*found->second->state);
  entries_.erase(found->second);
  by_key_.erase(found);
}

}  // namespace tlin
