// One Converse RPC: a session, turn after turn, over one stream.
#ifndef TLIN_SERVER_CONVERSE_CALL_H_
#define TLIN_SERVER_CONVERSE_CALL_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "engine/sessions.h"
#include "engine/token_sink.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"
#include "server/call_services.h"
#include "server/pending_chunks.h"
#include "tlin/v1/generation.pb.h"

namespace tlin {

// Lives until gRPC is done with it and the engine has let go of it. At most one
// turn is in the engine, one write and one read in flight. An input that comes
// while a turn's events are not all written is held, and nothing more is read:
// what a reader who lags costs is one turn. The RPC is finished once, when no
// turn is in the engine. The mutex is never held while gRPC or the engine is
// called.
class ConverseCall final
    : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
      public TokenSink {
 public:
  // A gRPC thread. `model` is null while it is loading; `context` lives as long
  // as the call.
  static grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Start(
      const CallServices& services, const ServedModel* model,
      const grpc::CallbackServerContext* context);

  // gRPC threads.
  void OnReadDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnCancel() override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnDone() override ABSL_LOCKS_EXCLUDED(mutex_);

  // TokenSink: engine thread, of the turn that runs.
  void OnStarted(const Started& started) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnChunk(const Chunk& chunk) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnFinished(const Finished& finished) override
      ABSL_LOCKS_EXCLUDED(mutex_);
  void OnError(const absl::Status& status) override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // What to do next, outside the lock.
  struct Next {
    enum Kind { kNothing, kWrite, kTurn, kRead, kFinish };
    Kind kind = kNothing;
    v1::ConverseResponse event;
    v1::ConverseInput input;
    absl::Status status;
  };

  ConverseCall(const CallServices& services, const ServedModel* model,
               const grpc::CallbackServerContext* context);

  absl::Status Handle(const grpc::ByteBuffer& bytes)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Open(const v1::ConverseOpen& open) ABSL_LOCKS_EXCLUDED(mutex_);
  // Engine thread.
  void Bind(const std::string& key, Sessions& sessions)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Interrupt() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status BeginTurn(const v1::ConverseInput& input)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // The stream ends with `status`, once no turn runs.
  void Fail(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);
  // The session is free for others. Once, when nothing more will run on it.
  void Unbind() ABSL_LOCKS_EXCLUDED(mutex_);
  // Does all that can be done now. Any thread.
  void Pump() ABSL_LOCKS_EXCLUDED(mutex_);
  Next TakeNext() ABSL_LOCKS_EXCLUDED(mutex_);
  void EndStart() ABSL_LOCKS_EXCLUDED(mutex_);
  // As the caller names it.
  std::string SessionId() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TakeEvent(v1::ConverseResponse* event)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool MayFinish() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  bool HasEvent() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return opened_.has_value() || started_.has_value() || !pending_.empty() ||
           finished_.has_value();
  }

  // Constant after construction.
  const CallServices services_;
  const ServedModel* const model_;
  const grpc::CallbackServerContext* const context_;
  Caller caller_;  // constant after Start

  // Keeps the call alive until OnDone. Set before gRPC knows of the call.
  std::shared_ptr<ConverseCall> self_;

  // Belong to the operation in flight.
  grpc::ByteBuffer read_message_;
  grpc::ByteBuffer write_message_;

  absl::Mutex mutex_;
  // Of the stream.
  bool opening_ ABSL_GUARDED_BY(mutex_) = false;  // `open` has been seen
  uint64_t binding_ ABSL_GUARDED_BY(mutex_) = 0;  // not 0: the session is there
  v1::GenerateRequest template_ ABSL_GUARDED_BY(mutex_);  // of all turns
  bool reading_ ABSL_GUARDED_BY(mutex_) = true;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  // Reads and writes that a thread is about to start: none may come after
  // Finish.
  int starting_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;  // no more commands come
  bool gone_ ABSL_GUARDED_BY(mutex_) = false;    // nobody reads
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;   // Finish was called
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
  // Of the turn.
  bool beginning_ ABSL_GUARDED_BY(mutex_) = false;  // on its way to the engine
  std::string turn_id_ ABSL_GUARDED_BY(mutex_);     // not empty: in the engine
  std::optional<v1::ConverseInput> held_ ABSL_GUARDED_BY(mutex_);
  std::optional<SessionInfo> opened_ ABSL_GUARDED_BY(mutex_);
  std::optional<Started> started_ ABSL_GUARDED_BY(mutex_);
  PendingChunks pending_ ABSL_GUARDED_BY(mutex_);
  std::optional<Finished> finished_ ABSL_GUARDED_BY(mutex_);
  std::string event_id_ ABSL_GUARDED_BY(mutex_);  // of the events above
  std::optional<Finished> written_ ABSL_GUARDED_BY(mutex_);  // to be logged
};

}  // namespace tlin

#endif  // TLIN_SERVER_CONVERSE_CALL_H_
