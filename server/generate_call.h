// One Generate RPC: the reactor that gRPC drives and the sink that the engine
// fills, with one write in flight at most.
#ifndef TLIN_SERVER_GENERATE_CALL_H_
#define TLIN_SERVER_GENERATE_CALL_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "engine/token_sink.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"
#include "server/call_services.h"
#include "server/pending_chunks.h"

namespace tlin {

// Lives until gRPC is done with it and the engine has let go of it. The RPC is
// finished exactly once: by a refusal, or after the engine's terminal event,
// which comes for a cancelled request, too. The mutex is never held while gRPC
// or the engine is called.
class GenerateCall final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                           public TokenSink {
 public:
  // A gRPC thread. `model` is null while it is loading.
  static grpc::ServerWriteReactor<grpc::ByteBuffer>* Start(
      const CallServices& services, const ServedModel* model,
      const grpc::CallbackServerContext& context,
      const grpc::ByteBuffer& request);

  // ServerWriteReactor: gRPC threads.
  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnCancel() override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnDone() override ABSL_LOCKS_EXCLUDED(mutex_);

  // TokenSink: engine thread.
  void OnStarted(const Started& started) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnChunk(const Chunk& chunk) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnFinished(const Finished& finished) override
      ABSL_LOCKS_EXCLUDED(mutex_);
  void OnError(const absl::Status& status) override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // What the reader is to be told next.
  struct Next {
    enum Kind { kNothing, kStarted, kChunk, kFinished, kStatus };
    Kind kind = kNothing;
    Started started;
    Chunk chunk;
    Finished finished;
    absl::Status status;
  };

  GenerateCall(const CallServices& services, const ServedModel* model);

  // Not OK: the engine has not got it.
  absl::Status Submit(const grpc::CallbackServerContext& context,
                      const grpc::ByteBuffer& request,
                      std::shared_ptr<GenerateCall> self);
  void Refuse(absl::Status status) ABSL_LOCKS_EXCLUDED(mutex_);
  // Begins the next operation unless one is in flight. Any thread.
  void Pump() ABSL_LOCKS_EXCLUDED(mutex_);
  Next TakeNext() ABSL_LOCKS_EXCLUDED(mutex_);
  // The client is not there any more: nothing is written from here on.
  void LetGo() ABSL_LOCKS_EXCLUDED(mutex_);

  // Constant after construction.
  const CallServices services_;
  const ServedModel* const model_;
  const std::string id_;

  // Constant once the engine has the request.
  Caller caller_;
  std::string session_id_;  // as the caller names it

  // Keeps the call alive until OnDone. Set before gRPC knows of the call.
  std::shared_ptr<GenerateCall> self_;

  // Belongs to the operation in flight: gRPC reads it until OnWriteDone.
  grpc::ByteBuffer message_;

  absl::Mutex mutex_;
  bool busy_ ABSL_GUARDED_BY(mutex_) = false;  // an operation is in flight
  bool gone_ ABSL_GUARDED_BY(mutex_) = false;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;  // the last one has begun
  std::optional<Started> started_ ABSL_GUARDED_BY(mutex_);
  PendingChunks pending_ ABSL_GUARDED_BY(mutex_);
  std::optional<Finished> finished_ ABSL_GUARDED_BY(mutex_);
  Usage usage_ ABSL_GUARDED_BY(mutex_);         // so far, for the log
  absl::Status error_ ABSL_GUARDED_BY(mutex_);  // not OK: instead of finished_
};

}  // namespace tlin

#endif  // TLIN_SERVER_GENERATE_CALL_H_
