// Sessions as files in a directory.
#ifndef TLIN_ENGINE_SESSION_DIRECTORY_SESSION_STORE_H_
#define TLIN_ENGINE_SESSION_DIRECTORY_SESSION_STORE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/session/session_store.h"

namespace tlin {

// ID.session is a snapshot; .ID.tmp one that is being written; ID.damaged what
// was set aside. A file is written beside its place, synced, renamed, and the
// directory synced: after a crash it is the old one or the new one, whole.
class DirectorySessionStore final : public SessionStore {
 public:
  // Makes the directory where it is missing, and takes away what a crash left
  // half written. FAILED_PRECONDITION while another process has it.
  static absl::StatusOr<std::unique_ptr<DirectorySessionStore>> Open(
      const std::string& directory);
  ~DirectorySessionStore() override;

  absl::Status Put(absl::string_view id, absl::string_view snapshot) override;
  absl::StatusOr<std::string> Get(absl::string_view id, int64_t most) override;
  absl::Status Delete(absl::string_view id) override;
  absl::StatusOr<std::vector<std::string>> List() override;
  absl::Status SetAside(absl::string_view id) override;

 private:
  DirectorySessionStore(std::string directory, int directory_fd, int lock_fd)
      : directory_(std::move(directory)),
        directory_fd_(directory_fd),
        lock_fd_(lock_fd) {}

  std::string PathOf(absl::string_view id) const;
  absl::Status SyncDirectory() const;

  // Constant after construction.
  const std::string directory_;
  const int directory_fd_;
  const int lock_fd_;  // locked for as long as it is open
};

}  // namespace tlin

#endif  // TLIN_ENGINE_SESSION_DIRECTORY_SESSION_STORE_H_
