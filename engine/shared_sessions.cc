// Sessions of a store that several processes share: SessionKeeper's part of
// what SessionLeases does.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/session_keeper.h"

namespace tlin {

std::string SessionKeeper::KnownVersion(absl::string_view id) {
  const Session* const session = table_.Find(id);
  if (session == nullptr || session->stored_version != session->version) {
    return "";
  }
  const bool has_state = KeepsSlot(*session) || session->saved != nullptr;
  return has_state || !session->stored_state ? session->stored_as : "";
}

absl::StatusOr<Session*> SessionKeeper::Add(absl::string_view id,
                                            absl::Time now) {
  absl::StatusOr<Session*> session = table_.Create(id, now);
  if (!shared_ || !absl::IsResourceExhausted(session.status())) return session;
  // The store keeps as many as it likes; here is what was used last.
  Session* const oldest = table_.FindOldest([](const Session& other) {
    return !other.busy && other.binding == 0 &&
           other.lease_until == absl::InfiniteFuture();
  });
  if (oldest == nullptr) return session;
  Forget(oldest);
  return table_.Create(id, now);
}

absl::Status SessionKeeper::Install(const ShelfResult& acquired) {
  Session* session = table_.Find(acquired.id);
  if (session != nullptr && session->busy) return absl::OkStatus();
  const bool same = session != nullptr && !acquired.fetched &&
                    session->stored_as == acquired.stored_as;
  if (!same && session != nullptr) {
    Forget(session);
    session = nullptr;
  }
  if (session == nullptr && acquired.stored_as.empty()) return absl::OkStatus();
  if (session == nullptr && !acquired.fetched) {
    return absl::UnavailableError(
        absl::StrCat("session ", acquired.id, " has just left: try again"));
  }
  if (session == nullptr) {
    const Snapshot& snapshot = *acquired.snapshot;
    TLIN_ASSIGN_OR_RETURN(session,
                          Add(acquired.id, FromWall(snapshot.last_used)));
    SetTokens(session, snapshot.tokens);
    session->created = FromWall(snapshot.created);
    session->stored_state = snapshot.state != nullptr;
    if (snapshot.state != nullptr) session->saved = Count(snapshot.state);
    session->version = ++versions_;
    session->stored_version = session->version;
    session->stored_as = acquired.stored_as;
  }
  session->lease_until = acquired.lease_until;
  KeepWithinMemory();
  return absl::OkStatus();
}

void SessionKeeper::SetLease(absl::string_view id, absl::Time until) {
  Session* const session = table_.Find(id);
  if (session != nullptr) session->lease_until = until;
}

bool SessionKeeper::InUse(absl::string_view id) {
  const Session* const session = table_.Find(id);
  return session != nullptr && (session->busy || session->binding != 0);
}

void SessionKeeper::Drop(absl::string_view id) {
  Session* const session = table_.Find(id);
  if (session != nullptr && !session->busy) Forget(session);
}

absl::StatusOr<SessionInfo> SessionKeeper::GetSeen(absl::string_view id) {
  for (SessionInfo& info : ListSeen()) {
    if (info.id == id) return std::move(info);
  }
  return absl::NotFoundError(absl::StrCat("there is no session ", id));
}

std::vector<SessionInfo> SessionKeeper::ListSeen() {
  std::vector<SessionInfo> infos;
  for (const auto& [id, summary] : seen_) {
    const Session* const here = table_.Find(id);
    SessionInfo info;
    // A copy that nobody holds the lease of may be older than what is there.
    if (here != nullptr && (here->lease_until != absl::InfiniteFuture() ||
                            here->token_count == summary.tokens)) {
      info = Describe(*here);
    } else {
      info.id = id;
      info.tokens = summary.tokens;
      info.durable = true;
      info.created = summary.created;
      info.last_used = summary.last_used;
    }
    infos.push_back(std::move(info));
  }
  std::stable_sort(infos.begin(), infos.end(),
                   [](const SessionInfo& a, const SessionInfo& b) {
                     return a.last_used < b.last_used;
                   });
  return infos;
}

}  // namespace tlin
