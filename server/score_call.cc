#include "server/score_call.h"

#include <utility>

#include "engine/base/status_macros.h"
#include "grpcpp/server_context.h"
#include "server/request_codec.h"
#include "server/response_codec.h"
#include "server/status_codec.h"
#include "server/wire_message.h"

namespace tlin {

grpc::ServerUnaryReactor* ScoreCall::Start(
    const CallServices& services, const ServedModel* model,
    const grpc::CallbackServerContext& context, const grpc::ByteBuffer& request,
    grpc::ByteBuffer* response) {
  std::shared_ptr<ScoreCall> call(new ScoreCall(services, model, response));
  services.calls->Begin();
  call->self_ = call;
  const absl::Status status = call->Submit(context, request, call);
  if (!status.ok()) {
    services.metrics->OnRefused(status);
    call->OnError(status);
  }
  return call.get();
}

ScoreCall::ScoreCall(const CallServices& services, const ServedModel* model,
                     grpc::ByteBuffer* response)
    : services_(services),
      model_(model),
      response_(response),
      id_(services.ids->NextId()) {}

absl::Status ScoreCall::Submit(const grpc::CallbackServerContext& context,
                               const grpc::ByteBuffer& request,
                               std::shared_ptr<ScoreCall> self) {
  TLIN_ASSIGN_OR_RETURN(caller_, services_.credentials->Identify(context));
  if (model_ == nullptr) {
    return absl::UnavailableError("the model is still loading");
  }
  v1::ScoreRequest message;
  TLIN_RETURN_IF_ERROR(
      ParseMessage(request, services_.max_message_bytes, &message));
  TLIN_ASSIGN_OR_RETURN(Request decoded, DecodeScore(message, *model_));
  decoded.id = id_;
  decoded.client = caller_.client;
  decoded.deadline = EngineDeadline(context.deadline(), services_.clock->Now());
  return model_->engine->Submit(std::move(decoded), std::move(self));
}

void ScoreCall::OnStarted(const Started&) {}

void ScoreCall::OnChunk(const Chunk& chunk) {
  tokens_.insert(tokens_.end(), chunk.logprobs.begin(), chunk.logprobs.end());
}

void ScoreCall::OnFinished(const Finished& finished) {
  usage_ = finished.usage;
  timing_ = finished.timing;
  // Half a score is none.
  if (finished.reason == FinishReason::kDeadline) {
    status_ = absl::DeadlineExceededError("the deadline passed while scoring");
  } else {
    *response_ = SerializeMessage(EncodeScore(tokens_));
  }
  Finish(ToGrpcStatus(status_, id_));
}

void ScoreCall::OnError(const absl::Status& status) {
  status_ = ForCaller(status, caller_, model_);
  Finish(ToGrpcStatus(status_, id_));
}

void ScoreCall::OnCancel() {
  if (model_ != nullptr) model_->engine->Cancel(id_);
}

void ScoreCall::OnDone() {
  LogCall(services_, {"Score", id_, caller_.client, status_, usage_, timing_});
  services_.calls->End();
  self_.reset();  // may be the end of this object
}

}  // namespace tlin
