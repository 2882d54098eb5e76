// The only lock between caller threads and the engine's loop.
#ifndef TLIN_ENGINE_INBOX_H_
#define TLIN_ENGINE_INBOX_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "engine/base/clock.h"
#include "engine/session/session_shelf.h"
#include "engine/sessions.h"
#include "engine/ticket.h"

namespace tlin {

// Holds new requests and commands until the loop takes them, and knows which
// requests have not ended. No callback is ever called under its lock.
class Inbox {
 public:
  // Runs on the engine thread between two steps.
  using Command = absl::AnyInvocable<void(Sessions& sessions)>;

  struct ScopedCommand {
    SessionScope scope;
    Command command;
  };

  struct Mail {
    std::vector<Ticket> tickets;
    std::vector<ScopedCommand> commands;
    std::vector<ShelfResult> results;
  };

  // `clock` outlives the inbox. REQUIRES: max_waiting >= 1.
  Inbox(int32_t max_waiting, Clock* clock);

  // --- Any thread.

  // RESOURCE_EXHAUSTED when `max_waiting` requests wait for a slot, those that
  // the loop has taken already included; UNAVAILABLE after BeginDrain or Stop;
  // INVALID_ARGUMENT when a request of this id has not ended.
  absl::Status Submit(Request request, std::shared_ptr<TokenSink> sink);
  // OK: the command will run, once. UNAVAILABLE after BeginDrain or Stop.
  absl::Status Post(Command command, SessionScope scope = {});
  // Wakes the loop; also while draining.
  void Deliver(ShelfResult result);
  // Marks the request; unknown ids are ignored, and a cancelled one stays so.
  void Cancel(absl::string_view request_id);
  void Interrupt(absl::string_view request_id);
  void BeginDrain();
  void Stop();
  // True once every accepted request has ended; false after `timeout`.
  bool WaitUntilIdle(absl::Duration timeout);
  // Since the loop's last turn; zero while there is no request.
  absl::Duration TimeSinceProgress() const;
  int32_t waiting() const;

  // --- Engine thread.

  // Appends what is new to `mail`. Blocks while there is nothing, unless
  // `busy`. Counts as progress. False: Stop was called.
  bool Take(bool busy, Mail* mail);
  // One request of those taken got a slot or ended without.
  void LeaveQueue();
  // After its terminal event.
  void End(const std::string& request_id);

 private:
  bool HasNews() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return stopping_ || !arrived_.tickets.empty() ||
           !arrived_.commands.empty() || !arrived_.results.empty();
  }

  // UNAVAILABLE after BeginDrain or Stop.
  absl::Status CheckOpen() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);

  // Constant after construction.
  const int32_t max_waiting_;
  Clock* const clock_;

  mutable absl::Mutex mutex_;
  Mail arrived_ ABSL_GUARDED_BY(mutex_);
  // Requests that have not ended, with their marks.
  absl::flat_hash_map<std::string, std::shared_ptr<std::atomic<CallerWish>>>
      live_ ABSL_GUARDED_BY(mutex_);
  int32_t waiting_ ABSL_GUARDED_BY(mutex_) = 0;  // for a slot, here or taken
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  // The loop's last turn, or when the first request came to an idle engine.
  absl::Time last_progress_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tlin

#endif  // TLIN_ENGINE_INBOX_H_
