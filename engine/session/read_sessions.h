// The sessions that a store has, at the start of a process.
#ifndef TLIN_ENGINE_SESSION_READ_SESSIONS_H_
#define TLIN_ENGINE_SESSION_READ_SESSIONS_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/log.h"
#include "engine/model_runner.h"
#include "engine/session/session_store.h"
#include "engine/session/snapshot.h"

namespace tlin {

// Their heads, the least recently used first; states are left where they are.
// What is damaged is told, set aside and left out. An error where the store
// itself cannot be read.
absl::StatusOr<std::vector<std::pair<std::string, SnapshotHead>>> ReadSessions(
    const ModelRunner& model, SessionStore* store, Logger* logger);

}  // namespace tlin

#endif  // TLIN_ENGINE_SESSION_READ_SESSIONS_H_
