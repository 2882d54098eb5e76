// A session store without waiting: what the engine's thread sees of it.
#ifndef TLIN_ENGINE_SESSION_SESSION_SHELF_H_
#define TLIN_ENGINE_SESSION_SESSION_SHELF_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/session/snapshot.h"

namespace tlin {

struct ShelfResult {
  enum class Operation {
    kPut,
    kGet,
    kDelete,
    kAcquire,
    kRenew,
    kRelease,
    kLook
  };

  Operation operation = Operation::kPut;
  std::string id;
  uint64_t version = 0;  // of a Put
  // Of a Get, and of an Acquire that fetched; else OK and empty, or an error.
  absl::StatusOr<Snapshot> snapshot;
  absl::Duration duration;

  // Of a shared store.
  // The snapshot's version there, after a Put and an Acquire; empty: none.
  std::string stored_as;
  bool fetched = false;    // an Acquire: `snapshot` is what is there
  absl::Time lease_until;  // of an Acquire and a Renew
  bool released = false;   // the lease is given back, or lost
  std::vector<std::pair<std::string, SnapshotSummary>> seen;  // of a Look

  // The store could not do it. That a session is leased elsewhere, or is not
  // there to be seen, is an answer.
  bool failed() const {
    const absl::Status& status = snapshot.status();
    if (operation == Operation::kAcquire) {
      return !status.ok() && !absl::IsFailedPrecondition(status);
    }
    if (operation == Operation::kLook) {
      return !status.ok() && !absl::IsNotFound(status);
    }
    return !status.ok();
  }
};

// Engine thread only; nothing blocks. Each session has one operation waiting at
// most: a newer one takes the place of an older one, which then has no result.
// A Put or a Delete that fails has a result, and is tried again, later and
// later, for as long as no newer one comes.
class SessionShelf {
 public:
  virtual ~SessionShelf() = default;

  virtual void Put(const std::string& id, uint64_t version,
                   Snapshot snapshot) = 0;
  virtual void Get(const std::string& id) = 0;
  virtual void Delete(const std::string& id) = 0;

  // --- Of a shared store: see SharedSessionStore.

  // Fetches the session unless it is of the version `known` there. Waits a
  // moment for another process that is about to be done with it. The lease is
  // renewed, with a result each time, until it is released or lost.
  virtual void Acquire(const std::string& id, const std::string& known) = 0;
  // After the Put or Delete that waits, and with its result; nothing else may
  // be asked of the session before a result says that it is released.
  virtual void Release(const std::string& id) = 0;
  // At one session without its lease; an empty id: at all. NOT_FOUND.
  virtual void Look(const std::string& id) = 0;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_SESSION_SESSION_SHELF_H_
