#include "server/converse_call.h"

#include <utility>

#include "engine/base/status_macros.h"
#include "server/request_codec.h"
#include "server/response_codec.h"
#include "server/session_codec.h"
#include "server/status_codec.h"
#include "server/wire_message.h"

namespace tlin {

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>*
ConverseCall::Start(const CallServices& services, const ServedModel* model,
                    const grpc::CallbackServerContext* context) {
  std::shared_ptr<ConverseCall> call(
      new ConverseCall(services, model, context));
  services.calls->Begin();
  call->self_ = call;
  absl::StatusOr<Caller> caller = services.credentials->Identify(*context);
  if (caller.ok()) call->caller_ = *caller;
  if (caller.ok() && model == nullptr) {
    caller = absl::UnavailableError("the model is still loading");
  }
  if (!caller.ok()) {
    call->Fail(caller.status());
    call->Pump();
  } else {
    call->StartRead(&call->read_message_);
  }
  return call.get();
}

ConverseCall::ConverseCall(const CallServices& services,
                           const ServedModel* model,
                           const grpc::CallbackServerContext* context)
    : services_(services), model_(model), context_(context) {}

void ConverseCall::OnReadDone(bool ok) {
  const absl::Status status = ok ? Handle(read_message_) : absl::OkStatus();
  {
    absl::MutexLock lock(&mutex_);
    reading_ = false;
    if (!ok) closed_ = true;
  }
  if (!status.ok()) Fail(status);
  Pump();
}

absl::Status ConverseCall::Handle(const grpc::ByteBuffer& bytes) {
  v1::ConverseRequest request;
  TLIN_RETURN_IF_ERROR(
      ParseMessage(bytes, services_.max_message_bytes, &request));
  switch (request.command_case()) {
    case v1::ConverseRequest::kOpen:
      return Open(request.open());
    case v1::ConverseRequest::kInput: {
      absl::MutexLock lock(&mutex_);
      if (!opening_) {
        return absl::InvalidArgumentError("input: comes before open");
      }
      held_ = std::move(*request.mutable_input());
      return absl::OkStatus();
    }
    case v1::ConverseRequest::kInterrupt:
      Interrupt();
      return absl::OkStatus();
    case v1::ConverseRequest::COMMAND_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError(
      "command: neither open, nor input, nor interrupt");
}

absl::Status ConverseCall::Open(const v1::ConverseOpen& open) {
  TLIN_RETURN_IF_ERROR(CheckModel(open.model(), *model_));
  std::string key = open.session_id();
  TLIN_RETURN_IF_ERROR(
      ChooseSessionKey("open.session_id", services_.ids, caller_.owner, &key));
  {
    absl::MutexLock lock(&mutex_);
    if (opening_) return absl::InvalidArgumentError("open: comes twice");
    opening_ = true;
    template_.set_session_id(key);
    *template_.mutable_sampling() = open.sampling();
    *template_.mutable_stopping() = open.stopping();
    *template_.mutable_output() = open.output();
    template_.set_priority(open.priority());
  }
  return model_->engine->WithSessions(
      {SessionScope::Kind::kLease, {key}},
      [self = self_, key](Sessions& sessions) { self->Bind(key, sessions); });
}

void ConverseCall::Bind(const std::string& key, Sessions& sessions) {
  const absl::StatusOr<Sessions::Bound> bound = sessions.Bind(key);
  if (bound.ok()) {
    absl::MutexLock lock(&mutex_);
    if (ended_) {  // the client left while `open` was read
      return sessions.Unbind(key, bound->binding);
    }
    binding_ = bound->binding;
    opened_ = bound->info;
  } else {
    Fail(bound.status());
  }
  Pump();
}

void ConverseCall::Interrupt() {
  std::string id;
  {
    absl::MutexLock lock(&mutex_);
    id = turn_id_;
  }
  // Without a turn there is nothing to interrupt.
  if (!id.empty()) model_->engine->Interrupt(id);
}

absl::Status ConverseCall::BeginTurn(const v1::ConverseInput& input) {
  v1::GenerateRequest message;
  uint64_t binding = 0;
  {
    absl::MutexLock lock(&mutex_);
    message = template_;
    binding = binding_;
  }
  if (input.has_text()) message.set_text(input.text());
  if (input.has_token_ids()) *message.mutable_token_ids() = input.token_ids();
  if (input.has_sampling()) *message.mutable_sampling() = input.sampling();
  if (input.has_stopping()) *message.mutable_stopping() = input.stopping();
  if (input.has_output()) *message.mutable_output() = input.output();
  TLIN_ASSIGN_OR_RETURN(
      Request request,
      DecodeGenerate(message, *model_, services_.ids->NextSeed()));
  const std::string id = services_.ids->NextId();
  request.id = id;
  request.binding = binding;
  request.client = caller_.client;
  request.deadline =
      EngineDeadline(context_->deadline(), services_.clock->Now());
  {
    absl::MutexLock lock(&mutex_);
    turn_id_ = id;
    event_id_ = id;
  }
  TLIN_RETURN_IF_ERROR(model_->engine->Submit(std::move(request), self_));
  bool unwanted = false;
  {
    absl::MutexLock lock(&mutex_);
    beginning_ = false;
    unwanted = gone_ || !error_.ok();
  }
  // Whoever gave up meanwhile may have cancelled it before it was there.
  if (unwanted) model_->engine->Cancel(id);
  return absl::OkStatus();
}

void ConverseCall::Fail(const absl::Status& status) {
  std::string id;
  {
    absl::MutexLock lock(&mutex_);
    if (error_.ok()) error_ = ForCaller(status, caller_, model_);
    id = turn_id_;
  }
  if (!id.empty()) model_->engine->Cancel(id);
}

void ConverseCall::OnStarted(const Started& started) {
  {
    absl::MutexLock lock(&mutex_);
    started_ = started;
  }
  Pump();
}

void ConverseCall::OnChunk(const Chunk& chunk) {
  {
    absl::MutexLock lock(&mutex_);
    if (gone_) return;
    pending_.Add(chunk);
  }
  Pump();
}

void ConverseCall::OnFinished(const Finished& finished) {
  {
    absl::MutexLock lock(&mutex_);
    finished_ = finished;
    turn_id_.clear();
    beginning_ = false;  // Submit may not have returned yet
  }
  Pump();
}

void ConverseCall::OnError(const absl::Status& status) {
  {
    absl::MutexLock lock(&mutex_);
    turn_id_.clear();
    beginning_ = false;
  }
  Fail(status);
  Pump();
}

void ConverseCall::TakeEvent(v1::ConverseResponse* event) {
  if (opened_.has_value()) {
    event->mutable_opened()->set_session_id(SessionId());
    event->mutable_opened()->set_tokens(opened_->tokens);
    opened_.reset();
  } else if (started_.has_value()) {
    *event->mutable_started() =
        EncodeStarted(*started_, event_id_, SessionId()).started();
    started_.reset();
  } else if (!pending_.empty()) {
    *event->mutable_chunk() = EncodeChunk(pending_.Take()).chunk();
  } else {
    *event->mutable_finished() = EncodeFinished(*finished_).finished();
    written_ = std::exchange(finished_, std::nullopt);
  }
}

std::string ConverseCall::SessionId() const {
  absl::string_view id;
  IdOfKey(caller_.owner, template_.session_id(), &id);
  return std::string(id);
}

bool ConverseCall::MayFinish() const {
  const bool binding = opening_ && binding_ == 0 && error_.ok();
  if (writing_ || starting_ > 0 || binding || beginning_ || !turn_id_.empty()) {
    return false;
  }
  return gone_ || !error_.ok() || (closed_ && !held_.has_value());
}

ConverseCall::Next ConverseCall::TakeNext() {
  Next next;
  absl::MutexLock lock(&mutex_);
  if (ended_) return next;
  const bool ending = gone_ || !error_.ok();
  if (!writing_ && !gone_ && HasEvent()) {
    next.kind = Next::kWrite;
    TakeEvent(&next.event);
    writing_ = true;
    ++starting_;
  } else if (MayFinish()) {
    next.kind = Next::kFinish;
    next.status = gone_ && error_.ok()
                      ? absl::CancelledError("the client went away")
                      : error_;
    ended_ = true;
  } else if (held_.has_value() && !ending && !writing_ && !beginning_ &&
             turn_id_.empty()) {
    next.kind = Next::kTurn;
    next.input = *std::exchange(held_, std::nullopt);
    beginning_ = true;
  } else if (!reading_ && !closed_ && !ending && !held_.has_value() &&
             (binding_ != 0 || !opening_)) {
    next.kind = Next::kRead;
    reading_ = true;
    ++starting_;
  }
  return next;
}

void ConverseCall::EndStart() {
  absl::MutexLock lock(&mutex_);
  --starting_;
}

void ConverseCall::Pump() {
  for (;;) {
    const Next next = TakeNext();
    switch (next.kind) {
      case Next::kNothing:
        return;
      case Next::kWrite:
        write_message_ = SerializeMessage(next.event);
        StartWrite(&write_message_);
        EndStart();
        break;
      case Next::kRead:
        StartRead(&read_message_);
        EndStart();
        break;
      case Next::kTurn: {
        const absl::Status status = BeginTurn(next.input);
        if (status.ok()) break;
        services_.metrics->OnRefused(status);
        {
          absl::MutexLock lock(&mutex_);
          turn_id_.clear();
          beginning_ = false;
        }
        Fail(status);
        break;
      }
      case Next::kFinish:
        // Before the client can know, and bind it anew.
        Unbind();
        Finish(ToGrpcStatus(next.status, ""));
        return;
    }
  }
}

void ConverseCall::OnWriteDone(bool ok) {
  std::optional<Finished> written;
  std::string id;
  {
    absl::MutexLock lock(&mutex_);
    writing_ = false;
    if (!ok) gone_ = true;
    written = std::exchange(written_, std::nullopt);
    id = event_id_;
  }
  if (written.has_value()) {
    LogCall(services_, {"Converse", id, caller_.client, absl::OkStatus(),
                        written->usage, written->timing});
  }
  if (ok) {
    Pump();
  } else {
    OnCancel();
  }
}

void ConverseCall::OnCancel() {
  std::string id;
  {
    absl::MutexLock lock(&mutex_);
    gone_ = true;
    pending_.Clear();
    id = turn_id_;
  }
  if (!id.empty()) model_->engine->Cancel(id);
  Pump();
}

void ConverseCall::Unbind() {
  std::string session;
  uint64_t binding = 0;
  {
    absl::MutexLock lock(&mutex_);
    session = template_.session_id();
    binding = binding_;
  }
  if (binding == 0) return;
  // Not while draining: then nobody else comes.
  model_->engine
      ->WithSessions({},
                     [session, binding](Sessions& sessions) {
                       sessions.Unbind(session, binding);
                     })
      .IgnoreError();
}

void ConverseCall::OnDone() {
  std::string id;
  absl::Status error;
  {
    absl::MutexLock lock(&mutex_);
    id = event_id_;
    error = error_;
  }
  if (!error.ok())
    LogCall(services_, {"Converse", id, caller_.client, error, {}, {}});
  services_.calls->End();
  self_.reset();  // may be the end of this object
}

}  // namespace tlin
