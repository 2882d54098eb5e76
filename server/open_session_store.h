// The session store that the flags ask for.
#ifndef TLIN_SERVER_OPEN_SESSION_STORE_H_
#define TLIN_SERVER_OPEN_SESSION_STORE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "engine/base/clock.h"
#include "engine/load_engine.h"
#include "engine/session/session_store.h"
#include "server/flags.h"

namespace tlin {

// Null where sessions are to end with the process. The error names the flag and
// the place; a Redis that cannot be reached now is one, too. `clock` outlives
// the store.
absl::StatusOr<std::unique_ptr<SessionStore>> OpenSessionStore(
    const Flags& flags, const LoadedModel& loaded, Clock* clock);

}  // namespace tlin

#endif  // TLIN_SERVER_OPEN_SESSION_STORE_H_
