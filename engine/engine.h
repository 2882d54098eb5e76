// The facade: requests in, events out, one thread that runs steps.
#ifndef TLIN_ENGINE_ENGINE_H_
#define TLIN_ENGINE_ENGINE_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/listener.h"
#include "engine/model_runner.h"
#include "engine/options.h"
#include "engine/request.h"
#include "engine/session/session_store.h"
#include "engine/sessions.h"
#include "engine/token_sink.h"
#include "engine/tokenizer/tokenizer.h"

namespace tlin {

// Submit and Cancel are thread-safe; everything else of the engine happens on
// its own thread, which Start begins and Stop ends.
class Engine {
 public:
  // `tokenizer` may be null: token ids only (stop strings are then refused).
  // `store`: where sessions are kept beyond the engine's life; null: nowhere.
  // All pointers outlive the engine.
  static std::unique_ptr<Engine> Create(const EngineOptions& options,
                                        ModelRunner* model,
                                        const Tokenizer* tokenizer,
                                        std::optional<TokenId> eos_token_id,
                                        EngineListener* listener, Clock* clock,
                                        Logger* logger,
                                        SessionStore* store = nullptr);
  virtual ~Engine() = default;

  // Before Start: the sessions that the store has are there again. An error
  // where it cannot be read, or has more than max_sessions.
  virtual absl::Status Restore() = 0;
  virtual void Start() = 0;

  // OK: accepted; `sink` gets exactly one terminal event. Otherwise `sink` is
  // never called: INVALID_ARGUMENT (naming the field), RESOURCE_EXHAUSTED
  // (queue full, or longer than the history pool could ever hold), UNAVAILABLE
  // (draining), DEADLINE_EXCEEDED (already passed).
  virtual absl::Status Submit(Request request,
                              std::shared_ptr<TokenSink> sink) = 0;

  // OK: `command` will run once, on the engine's thread between two steps,
  // where it must not block. UNAVAILABLE: it never will (draining).
  virtual absl::Status WithSessions(
      const SessionScope& scope,
      absl::AnyInvocable<void(Sessions& sessions)> command) = 0;

  // A snapshot as bytes of this model, and back: see session/snapshot.h for the
  // format and the errors. Thread-safe, and not for the engine's thread: it
  // takes milliseconds.
  virtual std::string EncodeSnapshot(const Snapshot& snapshot) const = 0;
  virtual absl::StatusOr<Snapshot> DecodeSnapshot(
      absl::string_view bytes, absl::string_view name) const = 0;
  // Of any session of this model. Thread-safe.
  virtual int64_t MaxSnapshotBytes() const = 0;

  // The caller has gone: the request ends with CANCELLED after at most one
  // step. Unknown ids are ignored: the request may just have ended.
  virtual void Cancel(absl::string_view request_id) = 0;

  // The request finishes as kInterrupted with what it has, after at most one
  // step. Unknown ids are ignored.
  virtual void Interrupt(absl::string_view request_id) = 0;

  // Refuses new requests from now on.
  virtual void BeginDrain() = 0;
  // Waits until no request is left, or `timeout` has passed. True: all ended.
  virtual bool WaitUntilIdle(absl::Duration timeout) = 0;
  // Ends what is left with UNAVAILABLE, then joins the thread. False: the
  // thread is in a step that has not ended within `timeout`; nothing was ended,
  // and the engine cannot be destroyed before the step ends. Idempotent.
  virtual bool StopWithin(absl::Duration timeout) = 0;
  void Stop() { StopWithin(absl::InfiniteDuration()); }
  // Waits until the store has every session as it is. False after `timeout`.
  virtual bool WaitUntilStored(absl::Duration timeout) = 0;

  // Time since the loop last made progress: zero when idle. Thread-safe; a
  // large value while requests are there means that the engine is stuck.
  virtual absl::Duration TimeSinceProgress() const = 0;
  // Suggested wait before a refused request is tried again. Thread-safe.
  virtual absl::Duration RetryDelay() const = 0;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_ENGINE_H_
