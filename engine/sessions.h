// What callers may do with sessions.
#ifndef TLIN_ENGINE_SESSIONS_H_
#define TLIN_ENGINE_SESSIONS_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "engine/session/snapshot.h"

namespace tlin {

struct SessionInfo {
  // active: a request waits or runs on it; idle: its state is in a slot;
  // stored: it is not.
  enum class Residence { kActive, kIdle, kStored };

  std::string id;
  Residence residence = Residence::kStored;
  int64_t tokens = 0;  // while it is active: before that request
  // Of token ids and state in host memory, the state's also where forks share
  // it; and of the slot.
  int64_t host_bytes = 0;
  int64_t device_bytes = 0;
  // What it is now is stored beyond the process. Never true while active.
  bool durable = false;
  absl::Time created;  // by the calendar
  absl::Time last_used;
};

// What a command is about: where several processes share the sessions these are
// leased or looked at before it runs, and others are not to be touched.
struct SessionScope {
  enum class Kind {
    kNone,
    kLease,  // `ids` may be changed, or read as a whole
    kLook,   // Get of the one in `ids`; or List, without any
  };
  Kind kind = Kind::kNone;
  std::vector<std::string> ids;
};

// Engine thread only; nothing blocks. Messages of errors name the session.
class Sessions {
 public:
  virtual ~Sessions() = default;

  // ALREADY_EXISTS; RESOURCE_EXHAUSTED when no more are kept.
  virtual absl::StatusOr<SessionInfo> Create(absl::string_view id) = 0;
  // NOT_FOUND, here and below.
  virtual absl::StatusOr<SessionInfo> Get(absl::string_view id) = 0;
  // The least recently used first.
  virtual absl::StatusOr<std::vector<SessionInfo>> List() = 0;
  // FAILED_PRECONDITION while it is active or bound, here and below.
  virtual absl::Status Delete(absl::string_view id) = 0;
  // A new session `to` that is what `from` is now: the tokens are copied, the
  // state is shared. Errors of Create, too.
  virtual absl::StatusOr<SessionInfo> Fork(absl::string_view from,
                                           absl::string_view to) = 0;
  // Binds a session to one conversation, a new one where there is none of this
  // id: until Unbind everybody else gets FAILED_PRECONDITION. Errors of Create.
  struct Bound {
    SessionInfo info;
    uint64_t binding = 0;  // for Request::binding
  };
  virtual absl::StatusOr<Bound> Bind(absl::string_view id) = 0;
  virtual void Unbind(absl::string_view id, uint64_t binding) = 0;
  // All of it but its name, to be encoded elsewhere: nothing that is large is
  // copied but the token ids.
  virtual absl::StatusOr<Snapshot> Export(absl::string_view id) = 0;
  // A new session. Errors of Create.
  virtual absl::StatusOr<SessionInfo> Import(absl::string_view id,
                                             Snapshot snapshot) = 0;
};

// Every answer is one status: the sessions cannot be had.
class RefusedSessions final : public Sessions {
 public:
  explicit RefusedSessions(absl::Status status) : status_(std::move(status)) {}

  absl::StatusOr<SessionInfo> Create(absl::string_view) override {
    return status_;
  }
  absl::StatusOr<SessionInfo> Get(absl::string_view) override {
    return status_;
  }
  absl::StatusOr<std::vector<SessionInfo>> List() override { return status_; }
  absl::Status Delete(absl::string_view) override { return status_; }
  absl::StatusOr<SessionInfo> Fork(absl::string_view,
                                   absl::string_view) override {
    return status_;
  }
  absl::StatusOr<Bound> Bind(absl::string_view) override { return status_; }
  void Unbind(absl::string_view, uint64_t) override {}
  absl::StatusOr<Snapshot> Export(absl::string_view) override {
    return status_;
  }
  absl::StatusOr<SessionInfo> Import(absl::string_view, Snapshot) override {
    return status_;
  }

 private:
  const absl::Status status_;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_SESSIONS_H_
