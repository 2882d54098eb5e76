// Who has which slot: running sequences, and sessions between their requests.
#ifndef TLIN_ENGINE_SESSION_KEEPER_H_
#define TLIN_ENGINE_SESSION_KEEPER_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/model_runner.h"
#include "engine/options.h"
#include "engine/request.h"
#include "engine/session/session.h"
#include "engine/session/session_shelf.h"
#include "engine/session/session_table.h"
#include "engine/sessions.h"
#include "engine/slot_pool.h"
#include "engine/token.h"

namespace tlin {

// An idle session keeps its slot until somebody else wants it: then the least
// recently used one's state moves to host memory, and comes back to some slot
// with its next request. With a shelf each session is stored when it has
// changed. Where host memory is short, too, states are let go, stored ones
// first: they come back from the shelf, or are made from the tokens, which
// stay. Engine thread only.
class SessionKeeper final : public Sessions {
 public:
  // All pointers outlive the keeper.
  SessionKeeper(const SessionOptions& options, ModelRunner* model, Clock* clock,
                Logger* logger);

  // Before any session is there. Outlives the keeper; null: nothing is stored.
  // `shared`: with other processes, see SessionLeases.
  void UseShelf(SessionShelf* shelf, bool shared = false) {
    shelf_ = shelf;
    shared_ = shared;
  }
  // Before the loop runs: a session that the shelf has. Errors of Create.
  absl::Status Restore(const std::string& id, SnapshotHead head);
  void OnShelfResult(const ShelfResult& result);

  absl::StatusOr<SessionInfo> Create(absl::string_view id) override;
  absl::StatusOr<SessionInfo> Get(absl::string_view id) override;
  absl::StatusOr<std::vector<SessionInfo>> List() override;
  absl::Status Delete(absl::string_view id) override;
  absl::StatusOr<SessionInfo> Fork(absl::string_view from,
                                   absl::string_view to) override;
  absl::StatusOr<Bound> Bind(absl::string_view id) override;
  void Unbind(absl::string_view id, uint64_t binding) override;
  absl::StatusOr<Snapshot> Export(absl::string_view id) override;
  absl::StatusOr<SessionInfo> Import(absl::string_view id,
                                     Snapshot snapshot) override;

  // --- For the leases of a shared store.

  // The version there that is here with its state, or empty.
  std::string KnownVersion(absl::string_view id);
  // The session is leased, and is what `acquired` says: nothing where the store
  // has none. One that a request runs on stays as it is.
  absl::Status Install(const ShelfResult& acquired);
  // Until then, see Session. Where there is none of this id, nothing happens.
  void SetLease(absl::string_view id, absl::Time until);
  // A request runs on it, or a conversation has it.
  bool InUse(absl::string_view id);
  // Forgets what is here; the store keeps what it has. Not while it is busy.
  void Drop(absl::string_view id);
  // What the store has, for Get and List until the next time.
  void SetSeen(std::vector<std::pair<std::string, SnapshotSummary>> seen) {
    seen_ = std::move(seen);
  }

  // --- For the loop.

  // The session of a request, which is valid by itself; busy until it is given
  // back. NOT_FOUND; FAILED_PRECONDITION while another request has it;
  // INVALID_ARGUMENT, RESOURCE_EXHAUSTED where both together are too long.
  absl::StatusOr<Session*> Borrow(const Request& request);
  // Unchanged: its request never got a slot.
  void GiveBack(Session* session, std::vector<TokenId> tokens);

  // There is a slot for a sequence of so many tokens, or one that a session
  // keeps. `session` is null for a request without; else it is not loading.
  bool CanStart(const Session* session, int64_t max_tokens) const;
  struct Start {
    SlotLease slot;
    StateExtent extent;  // of the state that is in it
  };
  // REQUIRES: CanStart.
  Start StartSequence(Session* session, int64_t max_tokens);
  // The sequence has ended. Without a session, or without a state that is whole
  // (a sync was under way, a step has failed), the slot is free.
  void EndSequence(Session* session, SlotLease slot,
                   std::vector<TokenId> tokens, bool state_is_whole);

  // Sessions whose request waits for the shelf.
  int64_t loading() const { return loading_; }
  const SlotPool& slots() const { return pool_; }
  // Slots of sessions on which no sequence runs.
  int32_t kept_slots() const { return kept_slots_; }

  struct Counts {
    int64_t active = 0;
    int64_t idle = 0;
    int64_t stored = 0;
    int64_t token_bytes = 0;  // of sessions that are not active
    int64_t state_bytes = 0;  // of saved states, each once
  };
  Counts counts() const;  // in constant time

 private:
  bool KeepsSlot(const Session& session) const {
    return session.slot.has_value() &&
           leases_[static_cast<size_t>(*session.slot)].held();
  }
  // NOT_FOUND, also for one whose time is over.
  absl::StatusOr<Session*> Find(absl::string_view id);
  // Neither busy nor bound, but by `binding`.
  absl::StatusOr<Session*> FindFree(absl::string_view id, uint64_t binding = 0);
  // A new session. Errors of Create.
  absl::StatusOr<Session*> Add(absl::string_view id, absl::Time now);
  // After the session's last use.
  void Erase(Session* session);
  // The same, and the store keeps it.
  void Forget(Session* session);
  // Get and List of what the store was seen to have.
  absl::StatusOr<SessionInfo> GetSeen(absl::string_view id);
  std::vector<SessionInfo> ListSeen();
  // Of a session that is not busy, and has none yet.
  void SetTokens(Session* session, std::vector<TokenId> tokens);
  void BecomeFree(Session* session, std::vector<TokenId> tokens);
  // One session that keeps a slot leaves it, a busy one only where it must.
  void MakeRoom(const Session* but_not);
  SessionInfo Describe(const Session& session) const;
  Snapshot MakeSnapshot(const Session& session) const;
  // Sessions' times are clock_->Now()'s; what leaves has the calendar's.
  absl::Time ToWall(absl::Time time) const {
    return clock_->WallNow() - (clock_->Now() - time);
  }
  absl::Time FromWall(absl::Time time) const {
    return clock_->Now() -
           std::max(clock_->WallNow() - time, absl::ZeroDuration());
  }
  void LogFault(const char* what, const Session& session,
                const absl::Status& status) const;
  void EraseOverdue();
  // The tokens are others than before: stores them.
  void Changed(Session* session);
  void StopLoading(Session* session);
  // The state in host memory as well.
  absl::Status Save(Session* session);
  // The same state, counted in state_bytes_ until nobody has it.
  std::shared_ptr<const SavedState> Count(
      std::shared_ptr<const SavedState> state) const;
  // The slot becomes free; the state is saved first, if it can be.
  void LeaveSlot(Session* session);
  void CloseSlot(Session* session);
  void KeepWithinMemory();

  // Constant after construction.
  const SessionOptions options_;
  ModelRunner* const model_;
  Clock* const clock_;
  Logger* const logger_;
  // Of saved states; they may be let go by any thread.
  const std::shared_ptr<std::atomic<int64_t>> state_bytes_;

  SessionShelf* shelf_ = nullptr;
  bool shared_ = false;

  SlotPool pool_;  // outlives the leases
  SessionTable table_;
  std::vector<SlotLease> leases_;  // [slots], of sessions that keep theirs
  int32_t kept_slots_ = 0;
  uint64_t bindings_ = 0;  // ever made
  uint64_t versions_ = 0;  // the same
  int64_t loading_ = 0;
  int64_t busy_ = 0;
  int64_t idle_ = 0;  // not busy, and keep a slot
  int64_t token_bytes_ = 0;
  std::vector<std::pair<std::string, SnapshotSummary>> seen_;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_SESSION_KEEPER_H_
