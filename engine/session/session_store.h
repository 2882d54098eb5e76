// Where snapshots of sessions are kept beyond the life of the process.
#ifndef TLIN_ENGINE_SESSION_SESSION_STORE_H_
#define TLIN_ENGINE_SESSION_SESSION_STORE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tlin {

// Ids are those of sessions: A-Z a-z 0-9 . _ -, no dot first. Calls may block;
// one thread at a time. Errors name the place.
class SessionStore {
 public:
  virtual ~SessionStore() = default;

  // Replaces what is there, as a whole or not at all. It is durable when this
  // has returned OK.
  virtual absl::Status Put(absl::string_view id,
                           absl::string_view snapshot) = 0;
  // The first `most` bytes. NOT_FOUND.
  virtual absl::StatusOr<std::string> Get(absl::string_view id,
                                          int64_t most) = 0;
  // Durable when this has returned OK, also where there was none.
  virtual absl::Status Delete(absl::string_view id) = 0;
  virtual absl::StatusOr<std::vector<std::string>> List() = 0;
  // Out of List, but not lost: somebody may want to look at what is in it.
  virtual absl::Status SetAside(absl::string_view id) = 0;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_SESSION_SESSION_STORE_H_
