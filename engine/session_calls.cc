// What callers do with sessions: SessionKeeper's part of Sessions.
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/session_keeper.h"

namespace tlin {

SessionInfo SessionKeeper::Describe(const Session& session) const {
  SessionInfo info;
  info.id = session.id;
  info.residence = session.busy               ? SessionInfo::Residence::kActive
                   : session.slot.has_value() ? SessionInfo::Residence::kIdle
                                              : SessionInfo::Residence::kStored;
  info.tokens = session.token_count;
  info.host_bytes = TokenBytes(session.token_count);
  if (session.saved != nullptr) {
    info.host_bytes += static_cast<int64_t>(session.saved->bytes.size());
  }
  if (session.slot.has_value()) {
    info.device_bytes = model_->memory().session_cache_bytes;
  }
  info.durable = !session.busy && session.stored_version == session.version;
  info.created = ToWall(session.created);
  info.last_used = ToWall(session.last_used);
  return info;
}

void SessionKeeper::EraseOverdue() {
  const absl::Time oldest = clock_->Now() - options_.idle_time_to_live;
  const auto free = [](const Session& session) {
    return !session.busy && session.binding == 0;
  };
  while (Session* const session = table_.FindOldest(free)) {
    if (session->last_used >= oldest) return;
    // What is shared may be in use elsewhere; the store itself lets it go.
    if (shared_) {
      Forget(session);
    } else {
      Erase(session);
    }
  }
}

void SessionKeeper::Erase(Session* session) {
  if (shelf_ != nullptr) shelf_->Delete(session->id);
  Forget(session);
}

void SessionKeeper::Forget(Session* session) {
  StopLoading(session);
  CloseSlot(session);
  token_bytes_ -= TokenBytes(session->token_count);
  table_.Erase(session);
}

absl::StatusOr<Session*> SessionKeeper::Find(absl::string_view id) {
  EraseOverdue();
  Session* const session = table_.Find(id);
  if (session != nullptr) return session;
  return absl::NotFoundError(absl::StrCat("there is no session ", id));
}

absl::StatusOr<Session*> SessionKeeper::FindFree(absl::string_view id,
                                                 uint64_t binding) {
  TLIN_ASSIGN_OR_RETURN(Session* const session, Find(id));
  if (session->busy) {
    return absl::FailedPreconditionError(
        absl::StrCat("session ", id, " is busy with another request"));
  }
  if (session->binding != binding) {
    return absl::FailedPreconditionError(absl::StrCat(
        "session ", id,
        binding == 0 ? " is open in a conversation" : " was made anew"));
  }
  return session;
}

absl::StatusOr<Sessions::Bound> SessionKeeper::Bind(absl::string_view id) {
  EraseOverdue();
  if (table_.Find(id) == nullptr) TLIN_RETURN_IF_ERROR(Create(id).status());
  TLIN_ASSIGN_OR_RETURN(Session* const session, FindFree(id));
  session->binding = ++bindings_;
  return Bound{Describe(*session), session->binding};
}

void SessionKeeper::Unbind(absl::string_view id, uint64_t binding) {
  Session* const session = table_.Find(id);
  if (session == nullptr || session->binding != binding) return;
  session->binding = 0;
  if (!session->busy) table_.Touch(session, clock_->Now());
}

absl::StatusOr<SessionInfo> SessionKeeper::Create(absl::string_view id) {
  EraseOverdue();
  TLIN_ASSIGN_OR_RETURN(Session* const session, Add(id, clock_->Now()));
  Changed(session);
  return Describe(*session);
}

absl::Status SessionKeeper::Restore(const std::string& id, SnapshotHead head) {
  TLIN_ASSIGN_OR_RETURN(Session* const session,
                        table_.Create(id, FromWall(head.last_used)));
  SetTokens(session, std::move(head.tokens));
  session->created = FromWall(head.created);
  session->version = ++versions_;
  session->stored_version = session->version;
  session->stored_state = head.extent.tokens() > 0;
  return absl::OkStatus();
}

absl::StatusOr<SessionInfo> SessionKeeper::Get(absl::string_view id) {
  if (shared_) return GetSeen(id);
  TLIN_ASSIGN_OR_RETURN(const Session* const session, Find(id));
  return Describe(*session);
}

absl::StatusOr<std::vector<SessionInfo>> SessionKeeper::List() {
  EraseOverdue();
  if (shared_) return ListSeen();
  std::vector<SessionInfo> infos;
  infos.reserve(static_cast<size_t>(table_.size()));
  table_.ForEach(
      [&](const Session& session) { infos.push_back(Describe(session)); });
  return infos;
}

absl::Status SessionKeeper::Delete(absl::string_view id) {
  TLIN_ASSIGN_OR_RETURN(Session* const session, FindFree(id));
  Erase(session);
  return absl::OkStatus();
}

absl::StatusOr<SessionInfo> SessionKeeper::Fork(absl::string_view from,
                                                absl::string_view to) {
  TLIN_ASSIGN_OR_RETURN(Session* const origin, FindFree(from));
  TLIN_ASSIGN_OR_RETURN(Session* const fork, Add(to, clock_->Now()));
  const absl::Status saved = Save(origin);
  if (!saved.ok()) {
    Erase(fork);
    return saved;
  }
  SetTokens(fork, origin->tokens);
  fork->saved = origin->saved;
  Changed(fork);
  KeepWithinMemory();
  return Describe(*fork);
}

Snapshot SessionKeeper::MakeSnapshot(const Session& session) const {
  return {session.tokens, session.saved, ToWall(session.created),
          ToWall(session.last_used)};
}

absl::StatusOr<Snapshot> SessionKeeper::Export(absl::string_view id) {
  TLIN_ASSIGN_OR_RETURN(Session* const session, FindFree(id));
  TLIN_RETURN_IF_ERROR(Save(session));
  Snapshot snapshot = MakeSnapshot(*session);
  KeepWithinMemory();
  return snapshot;
}

absl::StatusOr<SessionInfo> SessionKeeper::Import(absl::string_view id,
                                                  Snapshot snapshot) {
  EraseOverdue();
  TLIN_ASSIGN_OR_RETURN(Session* const session, Add(id, clock_->Now()));
  SetTokens(session, std::move(snapshot.tokens));
  session->created = FromWall(snapshot.created);
  if (snapshot.state != nullptr) {
    session->saved = Count(std::move(snapshot.state));
  }
  Changed(session);
  KeepWithinMemory();
  return Describe(*session);
}

}  // namespace tlin
