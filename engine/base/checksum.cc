#include "engine/base/checksum.h"

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "xxhash.h"

namespace tlin {

uint64_t Checksum(absl::string_view bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

struct Fingerprint::State {
  State() : hash(XXH3_createState()) { TLIN_CHECK(hash != nullptr); }
  ~State() { XXH3_freeState(hash); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  XXH3_state_t* const hash;
};

Fingerprint::Fingerprint() : state_(std::make_unique<State>()) {
  XXH3_128bits_reset(state_->hash);
}

Fingerprint::~Fingerprint() = default;

void Fingerprint::Add(const void* data, size_t bytes) {
  XXH3_128bits_update(state_->hash, data, bytes);
}

void Fingerprint::AddText(absl::string_view text) {
  const auto size = static_cast<uint64_t>(text.size());
  Add(&size, sizeof(size));
  Add(text.data(), text.size());
}

std::string Fingerprint::Hex() const {
  const XXH128_hash_t hash = XXH3_128bits_digest(state_->hash);
  return absl::StrCat(absl::Hex(hash.high64, absl::kZeroPad16),
                      absl::Hex(hash.low64, absl::kZeroPad16));
}

}  // namespace tlin
