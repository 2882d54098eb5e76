// Where snapshots of sessions are kept beyond the life of the process.
#ifndef TLIN_ENGINE_SESSION_SESSION_STORE_H_
#define TLIN_ENGINE_SESSION_SESSION_STORE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace tlin {

class SharedSessionStore;

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

  // The same store where several processes have it; null: this one alone has.
  virtual SharedSessionStore* shared() { return nullptr; }
};

struct SessionLease {
  // By the store's Clock: until then nobody else has the session for sure.
  absl::Time until;
  std::string version;   // of the snapshot that is there; empty: there is none
  std::string snapshot;  // empty where its version is known already
};

// A session's lease is what lets one process change it, for some time: Put and
// Delete want it, and so never undo what the next holder did. Each lease has a
// token that no other ever has; who comes with an older one than the session's
// last is refused (a fencing token), however late.
class SharedSessionStore : public SessionStore {
 public:
  // FAILED_PRECONDITION while another process has it; UNAVAILABLE, here and
  // below, while the store cannot be reached. `known`: the version that the
  // caller has; empty: none. Also of a session that is not there yet.
  virtual absl::StatusOr<SessionLease> Acquire(absl::string_view id,
                                               absl::string_view known) = 0;
  // Until when it holds now. ABORTED: it is lost, here and in Put and Delete.
  virtual absl::StatusOr<absl::Time> Renew(absl::string_view id) = 0;
  // Also of a lease that is lost.
  virtual absl::Status Release(absl::string_view id) = 0;

  SharedSessionStore* shared() final { return this; }
};

}  // namespace tlin

#endif  // TLIN_ENGINE_SESSION_SESSION_STORE_H_
