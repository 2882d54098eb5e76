// One Score RPC: collects the log-probabilities and answers once.
#ifndef TLIN_SERVER_SCORE_CALL_H_
#define TLIN_SERVER_SCORE_CALL_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/token_sink.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"
#include "server/call_services.h"

namespace tlin {

// Lives until gRPC is done with it and the engine has let go of it; finished
// once, by a refusal or by the engine's terminal event.
class ScoreCall final : public grpc::ServerUnaryReactor, public TokenSink {
 public:
  // A gRPC thread. `model` is null while it is loading; `response` is gRPC's,
  // until OnDone.
  static grpc::ServerUnaryReactor* Start(
      const CallServices& services, const ServedModel* model,
      const grpc::CallbackServerContext& context,
      const grpc::ByteBuffer& request, grpc::ByteBuffer* response);

  // ServerUnaryReactor: gRPC threads.
  void OnCancel() override;
  void OnDone() override;

  // TokenSink: engine thread.
  void OnStarted(const Started& started) override;
  void OnChunk(const Chunk& chunk) override;
  void OnFinished(const Finished& finished) override;
  void OnError(const absl::Status& status) override;

 private:
  ScoreCall(const CallServices& services, const ServedModel* model,
            grpc::ByteBuffer* response);

  absl::Status Submit(const grpc::CallbackServerContext& context,
                      const grpc::ByteBuffer& request,
                      std::shared_ptr<ScoreCall> self);

  // Constant after construction.
  const CallServices services_;
  const ServedModel* const model_;
  grpc::ByteBuffer* const response_;
  const std::string id_;

  Caller caller_;  // constant once the engine has the request

  // Keeps the call alive until OnDone. Set before gRPC knows of the call.
  std::shared_ptr<ScoreCall> self_;

  // Engine thread until the terminal event, or the caller of Start where it is
  // refused; then OnDone.
  std::vector<TokenLogprobs> tokens_;
  absl::Status status_;
  Usage usage_;
  Timing timing_;
};

}  // namespace tlin

#endif  // TLIN_SERVER_SCORE_CALL_H_
