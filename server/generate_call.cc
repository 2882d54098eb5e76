#include "server/generate_call.h"

#include <utility>

#include "engine/base/status_macros.h"
#include "grpcpp/server_context.h"
#include "server/request_codec.h"
#include "server/response_codec.h"
#include "server/status_codec.h"
#include "server/wire_message.h"

namespace tlin {

grpc::ServerWriteReactor<grpc::ByteBuffer>* GenerateCall::Start(
    const CallServices& services, const ServedModel* model,
    const grpc::CallbackServerContext& context,
    const grpc::ByteBuffer& request) {
  std::shared_ptr<GenerateCall> call(new GenerateCall(services, model));
  services.calls->Begin();
  call->self_ = call;
  absl::Status status = call->Submit(context, request, call);
  if (!status.ok()) call->Refuse(std::move(status));
  return call.get();
}

GenerateCall::GenerateCall(const CallServices& services,
                           const ServedModel* model)
    : services_(services), model_(model), id_(services.ids->NextId()) {}

absl::Status GenerateCall::Submit(const grpc::CallbackServerContext& context,
                                  const grpc::ByteBuffer& request,
                                  std::shared_ptr<GenerateCall> self) {
  TLIN_ASSIGN_OR_RETURN(caller_, services_.credentials->Identify(context));
  if (model_ == nullptr) {
    return absl::UnavailableError("the model is still loading");
  }
  v1::GenerateRequest message;
  TLIN_RETURN_IF_ERROR(
      ParseMessage(request, services_.max_message_bytes, &message));
  TLIN_ASSIGN_OR_RETURN(
      Request decoded,
      DecodeGenerate(message, *model_, services_.ids->NextSeed()));
  decoded.id = id_;
  session_id_ = decoded.session_id;
  decoded.session_id = SessionKey(caller_.owner, session_id_);
  decoded.client = caller_.client;
  decoded.deadline = EngineDeadline(context.deadline(), services_.clock->Now());
  return model_->engine->Submit(std::move(decoded), std::move(self));
}

void GenerateCall::Refuse(absl::Status status) {
  services_.metrics->OnRefused(status);
  {
    absl::MutexLock lock(&mutex_);
    error_ = ForCaller(std::move(status), caller_, model_);
  }
  Pump();
}

void GenerateCall::OnStarted(const Started& started) {
  {
    absl::MutexLock lock(&mutex_);
    started_ = started;
    usage_.prompt_tokens = started.prompt_tokens;
    usage_.cached_tokens = started.cached_tokens;
  }
  Pump();
}

void GenerateCall::OnChunk(const Chunk& chunk) {
  {
    absl::MutexLock lock(&mutex_);
    usage_.generated_tokens += static_cast<int64_t>(chunk.token_ids.size());
    if (gone_) return;
    pending_.Add(chunk);
  }
  Pump();
}

void GenerateCall::OnFinished(const Finished& finished) {
  {
    absl::MutexLock lock(&mutex_);
    finished_ = finished;
  }
  Pump();
}

void GenerateCall::OnError(const absl::Status& status) {
  {
    absl::MutexLock lock(&mutex_);
    error_ = ForCaller(status, caller_, model_);
  }
  Pump();
}

GenerateCall::Next GenerateCall::TakeNext() {
  Next next;
  absl::MutexLock lock(&mutex_);
  if (busy_ || ending_) return next;
  if (started_.has_value() && !gone_) {
    next.kind = Next::kStarted;
    next.started = *std::exchange(started_, std::nullopt);
  } else if (!pending_.empty()) {
    next.kind = Next::kChunk;
    next.chunk = pending_.Take();
  } else if (!error_.ok()) {
    next.kind = Next::kStatus;
    next.status = error_;
  } else if (finished_.has_value()) {
    next.kind = gone_ ? Next::kStatus : Next::kFinished;
    next.finished = *finished_;
    next.status = absl::CancelledError("the client went away");
  }
  busy_ = next.kind != Next::kNothing;
  ending_ = next.kind == Next::kFinished || next.kind == Next::kStatus;
  return next;
}

void GenerateCall::Pump() {
  const Next next = TakeNext();
  switch (next.kind) {
    case Next::kNothing:
      return;
    case Next::kStarted:
      message_ =
          SerializeMessage(EncodeStarted(next.started, id_, session_id_));
      StartWrite(&message_);
      return;
    case Next::kChunk:
      message_ = SerializeMessage(EncodeChunk(next.chunk));
      StartWrite(&message_);
      return;
    case Next::kFinished:
      message_ = SerializeMessage(EncodeFinished(next.finished));
      StartWriteAndFinish(&message_, grpc::WriteOptions(), grpc::Status::OK);
      return;
    case Next::kStatus:
      Finish(ToGrpcStatus(next.status, id_));
      return;
  }
}

void GenerateCall::OnWriteDone(bool ok) {
  {
    absl::MutexLock lock(&mutex_);
    busy_ = false;
  }
  if (!ok) LetGo();
  Pump();
}

void GenerateCall::OnCancel() {
  LetGo();
  Pump();
}

void GenerateCall::LetGo() {
  {
    absl::MutexLock lock(&mutex_);
    gone_ = true;
    pending_.Clear();
  }
  if (model_ != nullptr) model_->engine->Cancel(id_);
}

void GenerateCall::OnDone() {
  CallRecord record;
  record.method = "Generate";
  record.request_id = id_;
  record.client = caller_.client;
  {
    absl::MutexLock lock(&mutex_);
    record.status = error_;
    record.usage = usage_;
    if (finished_.has_value()) {
      record.usage = finished_->usage;
      record.timing = finished_->timing;
    }
  }
  LogCall(services_, record);
  services_.calls->End();
  self_.reset();  // may be the end of this object
}

}  // namespace tlin
