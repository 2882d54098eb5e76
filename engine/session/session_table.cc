#include "engine/session/session_table.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"

namespace tlin {

SessionTable::SessionTable(int32_t max_sessions) : max_sessions_(max_sessions) {
  TLIN_CHECK(max_sessions >= 1);
}

absl::StatusOr<Session*> SessionTable::Create(absl::string_view id,
                                              absl::Time now) {
  if (by_id_.contains(id)) {
    return absl::AlreadyExistsError(
        absl::StrCat("there is a session ", id, " already"));
  }
  if (size() >= max_sessions_) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "there are ", size(), " sessions: no more are kept (--max_sessions)"));
  }
  sessions_.emplace_back();
  Session& session = sessions_.back();
  session.id = std::string(id);
  session.created = now;
  session.last_used = now;
  by_id_.emplace(session.id, std::prev(sessions_.end()));
  return &session;
}

Session* SessionTable::Find(absl::string_view id) {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &*found->second;
}

void SessionTable::Erase(Session* session) {
  const auto found = by_id_.find(session->id);
  TLIN_CHECK(found != by_id_.end());
  const List::iterator at = found->second;
  by_id_.erase(found);
  sessions_.erase(at);
}

void SessionTable::Touch(Session* session, absl::Time now) {
  const auto found = by_id_.find(session->id);
  TLIN_CHECK(found != by_id_.end());
  session->last_used = now;
  sessions_.splice(sessions_.end(), sessions_, found->second);
}

Session* SessionTable::FindOldest(
    absl::FunctionRef<bool(const Session&)> wanted) {
  for (Session& session : sessions_) {
    if (wanted(session)) return &session;
  }
  return nullptr;
}

void SessionTable::ForEach(
    absl::FunctionRef<void(const Session&)> visit) const {
  for (const Session& session : sessions_) visit(session);
}

}  // namespace tlin
