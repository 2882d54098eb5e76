// Snapshots of any bytes: as they come, and with a header and checksums that
// let what is behind them be looked at.
#include <cstdint>
#include <cstring>
#include <string>

#include "engine/base/check.h"
#include "engine/base/checksum.h"
#include "engine/session/snapshot.h"
#include "tests/testing/puppet_model.h"

namespace {

// Offsets: snapshot.h.
void MendChecksum(size_t first, size_t end, std::string* bytes) {
  if (end + 8 > bytes->size()) return;
  const uint64_t checksum =
      tlin::Checksum(absl::string_view(*bytes).substr(first, end - first));
  std::memcpy(&(*bytes)[end], &checksum, sizeof(checksum));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto* const kModel = new tlin::PuppetModel({});
  std::string bytes(reinterpret_cast<const char*>(data), size);
  tlin::DecodeSnapshot(bytes, "input", *kModel).IgnoreError();
  if (size < 120) return 0;

  const std::string whole = tlin::EncodeSnapshot({}, kModel->info());
  std::memcpy(bytes.data(), whole.data(), 56);  // up to the number of tokens
  MendChecksum(0, 104, &bytes);
  uint64_t tokens;
  std::memcpy(&tokens, &bytes[56], sizeof(tokens));
  if (tokens < size / 4) {
    const size_t end = 112 + 4 * tokens;
    MendChecksum(112, end, &bytes);
    if (end + 16 <= size) MendChecksum(end + 8, size - 8, &bytes);
  }
  const auto snapshot = tlin::DecodeSnapshot(bytes, "input", *kModel);
  if (snapshot.ok()) {
    // What was accepted is what would be written.
    TLIN_CHECK(tlin::EncodeSnapshot(*snapshot, kModel->info()).size() ==
               bytes.size());
  }
  return 0;
}
