#include "engine/session/read_sessions.h"

#include <algorithm>

#include "engine/base/status_macros.h"

namespace tlin {
namespace {

absl::StatusOr<SnapshotHead> ReadHead(const std::string& id,
                                      const ModelRunner& model,
                                      SessionStore* store) {
  TLIN_ASSIGN_OR_RETURN(const std::string header,
                        store->Get(id, kSnapshotHeaderBytes));
  TLIN_ASSIGN_OR_RETURN(const int64_t bytes,
                        SnapshotHeadBytes(header, id, model));
  TLIN_ASSIGN_OR_RETURN(const std::string head, store->Get(id, bytes));
  return DecodeSnapshotHead(head, id, model);
}

}  // namespace

absl::StatusOr<std::vector<std::pair<std::string, SnapshotHead>>> ReadSessions(
    const ModelRunner& model, SessionStore* store, Logger* logger) {
  TLIN_ASSIGN_OR_RETURN(const std::vector<std::string> ids, store->List());
  std::vector<std::pair<std::string, SnapshotHead>> sessions;
  for (const std::string& id : ids) {
    absl::StatusOr<SnapshotHead> head = ReadHead(id, model, store);
    if (head.ok()) {
      sessions.emplace_back(id, *std::move(head));
      continue;
    }
    logger->Log(Severity::kError, "a stored session is set aside",
                {{"session", id}, {"status", head.status().ToString()}});
    TLIN_RETURN_IF_ERROR(store->SetAside(id));
  }
  std::stable_sort(sessions.begin(), sessions.end(),
                   [](const auto& a, const auto& b) {
                     return a.second.last_used < b.second.last_used;
                   });
  return sessions;
}

}  // namespace tlin
