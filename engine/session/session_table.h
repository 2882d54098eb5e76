// Which sessions there are, and in which order they were used.
#ifndef TLIN_ENGINE_SESSION_SESSION_TABLE_H_
#define TLIN_ENGINE_SESSION_SESSION_TABLE_H_

#include <cstdint>
#include <list>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "engine/session/session.h"

namespace tlin {

// Engine thread only. Sessions stay where they are until they are erased.
class SessionTable {
 public:
  // REQUIRES: max_sessions >= 1.
  explicit SessionTable(int32_t max_sessions);

  // ALREADY_EXISTS; RESOURCE_EXHAUSTED when max_sessions are there.
  absl::StatusOr<Session*> Create(absl::string_view id, absl::Time now);
  // Null: there is none.
  Session* Find(absl::string_view id);
  void Erase(Session* session);
  // It was used now: the last in order.
  void Touch(Session* session, absl::Time now);

  // The least recently used one of which `wanted` is true, or null.
  Session* FindOldest(absl::FunctionRef<bool(const Session&)> wanted);
  // In order of use, the oldest first.
  void ForEach(absl::FunctionRef<void(const Session&)> visit) const;

  int32_t size() const { return static_cast<int32_t>(by_id_.size()); }

 private:
  using List = std::list<Session>;

  // Constant after construction.
  const int32_t max_sessions_;

  List sessions_;  // the least recently used first
  absl::flat_hash_map<std::string, List::iterator> by_id_;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_SESSION_SESSION_TABLE_H_
