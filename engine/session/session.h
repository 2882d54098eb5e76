// A token sequence that outlives the requests that work on it.
#ifndef TLIN_ENGINE_SESSION_SESSION_H_
#define TLIN_ENGINE_SESSION_SESSION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "engine/model_runner.h"
#include "engine/token.h"

namespace tlin {

// A model's state in host memory. Never changed: forks share it.
struct SavedState {
  StateExtent extent;
  std::vector<std::byte> bytes;  // ModelRunner::StateBytes(extent) of them
};

// A larger state is not copied on the engine's thread only to be kept:
// histories that grow. Tokens make it again.
inline constexpr int64_t kMostCopiedStateBytes = int64_t{64} << 20;

inline int64_t TokenBytes(int64_t tokens) {
  return tokens * static_cast<int64_t>(sizeof(TokenId));
}

// Engine thread only.
struct Session {
  std::string id;
  // All of them: what requests brought and what was generated. Empty while the
  // session is busy, when the running sequence has them.
  std::vector<TokenId> tokens;
  int64_t token_count = 0;  // while it is busy: before that request
  // The state of the first tokens: in a slot, in host memory, in both (then it
  // is the same), or in neither: then it is made from the tokens again.
  std::optional<SlotId> slot;
  std::shared_ptr<const SavedState> saved;
  // Of the tokens; another one whenever they change. The shelf has
  // stored_version, with a state or without; 0: nothing.
  uint64_t version = 0;
  uint64_t stored_version = 0;
  bool stored_state = false;
  bool loading = false;  // the state is on its way from the shelf
  bool busy = false;     // a request waits or runs on it
  uint64_t binding = 0;  // of the conversation that has it; 0: none
  // Of a shared store: the version there that this is, or was before the
  // request that runs; and until when others surely leave it alone, while it is
  // leased. InfinitePast: they did not, so what is here is void.
  std::string stored_as;
  absl::Time lease_until = absl::InfiniteFuture();
  absl::Time created;  // by the engine's Clock
  absl::Time last_used;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_SESSION_SESSION_H_
