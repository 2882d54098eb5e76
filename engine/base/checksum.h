// Hashes that tell bytes apart and find damage; they keep out nobody who wants
// two inputs to collide. XXH3, of libxxhash.
#ifndef TLIN_ENGINE_BASE_CHECKSUM_H_
#define TLIN_ENGINE_BASE_CHECKSUM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"

namespace tlin {

uint64_t Checksum(absl::string_view bytes);

// 128 bits of all that was added, in order.
class Fingerprint {
 public:
  Fingerprint();
  ~Fingerprint();
  Fingerprint(const Fingerprint&) = delete;
  Fingerprint& operator=(const Fingerprint&) = delete;

  void Add(const void* data, size_t bytes);
  // With its length: "a", "bc" is not "ab", "c".
  void AddText(absl::string_view text);
  std::string Hex() const;  // 32 digits

 private:
  struct State;
  const std::unique_ptr<State> state_;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_BASE_CHECKSUM_H_
