// A session store without waiting: what the engine's thread sees of it.
#ifndef TLIN_ENGINE_SESSION_SESSION_SHELF_H_
#define TLIN_ENGINE_SESSION_SESSION_SHELF_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/session/snapshot.h"

namespace tlin {

struct ShelfResult {
  enum class Operation { kPut, kGet, kDelete };

  Operation operation = Operation::kPut;
  std::string id;
  uint64_t version = 0;  // of a Put
  absl::StatusOr<Snapshot>
      snapshot;  // of a Get; else OK and empty, or an error
  absl::Duration duration;
};

// Engine thread only; nothing blocks. Each session has one operation waiting at
// most: a newer one takes the place of an older one, which then has no result.
class SessionShelf {
 public:
  virtual ~SessionShelf() = default;

  virtual void Put(const std::string& id, uint64_t version,
                   Snapshot snapshot) = 0;
  virtual void Get(const std::string& id) = 0;
  virtual void Delete(const std::string& id) = 0;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_SESSION_SESSION_SHELF_H_
