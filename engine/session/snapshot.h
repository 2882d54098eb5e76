// A session as bytes that another process goes on from. Little-endian:
//
//   offset  bytes
//        0      8  "TLINSNAP"
//        8      4  version, 1
//       12      4  header bytes: of all before the token ids
//       16     32  the model's fingerprint, in hexadecimal
//       48      8  dtype of the state, padded with zeros
//       56      8  number of token ids
//       64      8  history tokens of the state
//       72      8  window tokens of the state
//       80      8  state bytes
//       88      8  created, nanoseconds since 1970
//       96      8  last used, the same
//      104      8  checksum of the header before it
//      112   4 * n token ids
//               8  checksum of the token ids
//               m  state, as ModelRunner::SaveState writes it
//               8  checksum of the state
//
// A session without a state has zeros in its place: it is made from the tokens
// again. Checksums are XXH3's of 64 bits.
#ifndef TLIN_ENGINE_SESSION_SNAPSHOT_H_
#define TLIN_ENGINE_SESSION_SNAPSHOT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "engine/model_runner.h"
#include "engine/session/session.h"
#include "engine/token.h"

namespace tlin {

// What a snapshot holds: all of a session but its name.
struct Snapshot {
  std::vector<TokenId> tokens;
  std::shared_ptr<const SavedState> state;  // or null
  absl::Time created;                       // by the calendar
  absl::Time last_used;
};

inline constexpr int64_t kSnapshotHeaderBytes = 112;

// Names what a snapshot's bytes are: the same bytes, the same version.
std::string SnapshotVersion(absl::string_view bytes);

// Its size in bytes, a closed form.
int64_t SnapshotBytes(int64_t tokens, int64_t state_bytes);

// Any thread.
std::string EncodeSnapshot(const Snapshot& snapshot, const ModelInfo& model);

// Hostile bytes. `name` begins the messages, which name field and offset.
// DATA_LOSS: truncated, altered, or no snapshot. FAILED_PRECONDITION: of
// another version, model or dtype. INVALID_ARGUMENT: of tokens or an extent
// that this model does not have. Nothing is allocated by a number that the
// bytes do not bear out. Thread-safe, like what it asks of `model`.
absl::StatusOr<Snapshot> DecodeSnapshot(absl::string_view bytes,
                                        absl::string_view name,
                                        const ModelRunner& model);

// What stands before the state: enough to know a session by.
struct SnapshotHead {
  std::vector<TokenId> tokens;
  StateExtent extent;  // of the state that follows
  absl::Time created;
  absl::Time last_used;
};

// How many bytes the head has, from a header's kSnapshotHeaderBytes; and the
// head from so many. Errors as above.
absl::StatusOr<int64_t> SnapshotHeadBytes(absl::string_view bytes,
                                          absl::string_view name,
                                          const ModelRunner& model);
absl::StatusOr<SnapshotHead> DecodeSnapshotHead(absl::string_view bytes,
                                                absl::string_view name,
                                                const ModelRunner& model);

// What stands in the first kSnapshotHeaderBytes. Errors as above.
struct SnapshotSummary {
  int64_t tokens = 0;
  absl::Time created;
  absl::Time last_used;
};
absl::StatusOr<SnapshotSummary> DecodeSnapshotSummary(absl::string_view bytes,
                                                      absl::string_view name,
                                                      const ModelRunner& model);

}  // namespace tlin

#endif  // TLIN_ENGINE_SESSION_SNAPSHOT_H_
