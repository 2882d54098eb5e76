// Which sessions of a shared store this process may change now.
#ifndef TLIN_ENGINE_SESSION_LEASES_H_
#define TLIN_ENGINE_SESSION_LEASES_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "engine/base/clock.h"
#include "engine/session/session_shelf.h"
#include "engine/session_keeper.h"
#include "engine/sessions.h"

namespace tlin {

// A request or command that is about sessions waits here until their leases are
// there, and what the store has of them; a lease is given back once no request
// runs on its session and no conversation has it. One that has run out makes
// the copy here void. Without a shared store nothing waits. Engine thread only.
class SessionLeases {
 public:
  // Called once: OK, and the leases are there until it returns; or why not.
  using Then = absl::AnyInvocable<void(const absl::Status& status)>;

  // All pointers outlive the object.
  SessionLeases(SessionKeeper* keeper, Clock* clock)
      : keeper_(keeper), clock_(clock) {}

  // Before anything else. Null: no store is shared.
  void UseShelf(SessionShelf* shelf) { shelf_ = shelf; }

  void With(const SessionScope& scope, Then then);
  // After the keeper has seen it.
  void OnShelfResult(const ShelfResult& result);
  // Gives back what nobody needs, and drops what is void. After each step.
  void Tidy();
  // Nobody waits any more.
  void RefuseAll(const absl::Status& status);

 private:
  struct Job {
    std::vector<std::string> ids;
    size_t held = 0;  // of them, the first
    Then then;
  };
  using JobPtr = std::shared_ptr<Job>;
  struct Lease {
    enum class State { kAsking, kHeld, kReleasing };
    State state = State::kAsking;
    absl::Time until;
    int jobs = 0;  // that hold it and wait for another
    std::vector<JobPtr> waiting;
  };

  // As far as it gets.
  void GoOn(const JobPtr& job);
  void End(Job* job, const absl::Status& status);
  void EndAll(std::vector<JobPtr> jobs, const absl::Status& status);
  void OnAcquired(const ShelfResult& result);
  void OnReleased(const std::string& id);

  // Constant after UseShelf.
  SessionKeeper* const keeper_;
  Clock* const clock_;
  SessionShelf* shelf_ = nullptr;

  absl::flat_hash_map<std::string, Lease> leases_;
  absl::flat_hash_map<std::string, std::vector<JobPtr>> looking_;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_SESSION_LEASES_H_
