// Names and their secrets, a line each, in a file that may change while it is
// used: bearer tokens, passwords.
#ifndef TLIN_SERVER_SECRET_FILE_H_
#define TLIN_SERVER_SECRET_FILE_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "server/file_stamp.h"

namespace tlin {

// A secret as it is kept: what a core dump of the daemon does not tell.
using SecretDigest = std::array<unsigned char, 32>;  // SHA-256

struct NamedSecret {
  std::string name;
  SecretDigest digest;
};

// Lines "NAME SECRET"; empty ones and those that begin with # are passed over.
// NAME is 1 to 64 of A-Z a-z 0-9 . _ -, not beginning with a dot; a name may
// have several secrets, so that one can be replaced without a gap. SECRET is
// visible ASCII. INVALID_ARGUMENT names the line and never shows a secret;
// also where there is no line.
absl::StatusOr<std::vector<NamedSecret>> ParseSecrets(absl::string_view text);

// Thread-safe. Looks at the file once a second at most, when it is asked. Where
// the file cannot be read or parsed any more, what was read before holds, and
// the log says why.
class SecretFile {
 public:
  // `clock` and `logger` outlive it. The error names the file, but not the flag
  // that named it.
  static absl::StatusOr<std::unique_ptr<SecretFile>> Open(
      const std::string& path, Clock* clock, Logger* logger);

  // Whose secret it is. Takes the same time wherever a wrong secret differs.
  std::optional<std::string> NameOf(absl::string_view secret);
  // Whether `name` has this secret.
  bool Has(absl::string_view name, absl::string_view secret);

 private:
  SecretFile(const std::string& path, Clock* clock, Logger* logger)
      : path_(path), clock_(clock), logger_(logger), stamp_(path) {}

  absl::Status Read() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ReadWhereChanged() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Constant after construction.
  const std::string path_;
  Clock* const clock_;
  Logger* const logger_;

  absl::Mutex mutex_;
  FileStamp stamp_ ABSL_GUARDED_BY(mutex_);
  absl::Time looked_ ABSL_GUARDED_BY(mutex_);
  std::vector<NamedSecret> secrets_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tlin

#endif  // TLIN_SERVER_SECRET_FILE_H_
