#include "server/session_transfer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "server/request_codec.h"
#include "server/session_codec.h"
#include "server/status_codec.h"
#include "server/wire_message.h"
#include "tlin/v1/sessions.pb.h"

namespace tlin {
namespace {

constexpr size_t kChunkBytes = 64 << 10;

}  // namespace

grpc::ServerWriteReactor<grpc::ByteBuffer>* ExportCall::Start(
    const CallServices& services, const ServedModel* model,
    const grpc::CallbackServerContext& context,
    const grpc::ByteBuffer& request) {
  auto* const call = new ExportCall(services, model);
  services.calls->Begin();
  const absl::Status status = call->Ask(context, request);
  if (!status.ok()) call->OnSnapshot(status);
  return call;
}

absl::Status ExportCall::Ask(const grpc::CallbackServerContext& context,
                             const grpc::ByteBuffer& request) {
  TLIN_ASSIGN_OR_RETURN(caller_, services_.credentials->Identify(context));
  if (model_ == nullptr) {
    return absl::UnavailableError("the model is still loading");
  }
  v1::ExportSessionRequest message;
  TLIN_RETURN_IF_ERROR(
      ParseMessage(request, services_.max_message_bytes, &message));
  TLIN_RETURN_IF_ERROR(CheckModel(message.model(), *model_));
  const std::string key = SessionKey(caller_.owner, message.session_id());
  return model_->engine->WithSessions(
      {SessionScope::Kind::kLease, {key}},
      [this, key](Sessions& sessions) { OnSnapshot(sessions.Export(key)); });
}

void ExportCall::OnSnapshot(absl::StatusOr<Snapshot> snapshot) {
  if (!snapshot.ok()) {
    Finish(ToGrpcStatus(ForCaller(snapshot.status(), caller_, model_), ""));
    return;
  }
  snapshot_ = *std::move(snapshot);
  // A chunk without data takes the call to a thread of gRPC's, where it may
  // take its time.
  message_ = SerializeMessage(v1::SessionChunk());
  StartWrite(&message_);
}

void ExportCall::OnWriteDone(bool ok) {
  if (!ok) {
    Finish(ToGrpcStatus(absl::CancelledError("the client went away"), ""));
    return;
  }
  if (bytes_.empty()) {
    bytes_ = model_->engine->EncodeSnapshot(snapshot_);
    snapshot_ = Snapshot();
  }
  WriteNext();
}

void ExportCall::WriteNext() {
  v1::SessionChunk chunk;
  chunk.set_data(bytes_.substr(written_, kChunkBytes));
  written_ += chunk.data().size();
  message_ = SerializeMessage(chunk);
  if (written_ == bytes_.size()) {
    StartWriteAndFinish(&message_, grpc::WriteOptions(), grpc::Status::OK);
  } else {
    StartWrite(&message_);
  }
}

void ExportCall::OnDone() {
  services_.calls->End();
  delete this;
}

grpc::ServerReadReactor<grpc::ByteBuffer>* ImportCall::Start(
    const CallServices& services, const ServedModel* model,
    const grpc::CallbackServerContext& context, grpc::ByteBuffer* response) {
  auto* const call = new ImportCall(services, model, response);
  services.calls->Begin();
  absl::StatusOr<Caller> caller = services.credentials->Identify(context);
  if (!caller.ok()) {
    call->End(caller.status());
    return call;
  }
  call->caller_ = *std::move(caller);
  if (model == nullptr) {
    call->End(absl::UnavailableError("the model is still loading"));
  } else {
    call->StartRead(&call->message_);
  }
  return call;
}

absl::Status ImportCall::Add() {
  v1::SessionChunk chunk;
  TLIN_RETURN_IF_ERROR(
      ParseMessage(message_, services_.max_message_bytes, &chunk));
  if (first_) {
    TLIN_RETURN_IF_ERROR(CheckModel(chunk.model(), *model_));
    key_ = chunk.session_id();
    TLIN_RETURN_IF_ERROR(
        ChooseSessionKey("session_id", services_.ids, caller_.owner, &key_));
    first_ = false;
  }
  bytes_.append(chunk.data());
  if (static_cast<int64_t>(bytes_.size()) <=
      model_->engine->MaxSnapshotBytes()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("data: more than ", model_->engine->MaxSnapshotBytes(),
                   " bytes: no snapshot of this model is as long"));
}

absl::Status ImportCall::Import() {
  TLIN_ASSIGN_OR_RETURN(Snapshot snapshot,
                        model_->engine->DecodeSnapshot(bytes_, "data"));
  bytes_.clear();
  bytes_.shrink_to_fit();
  return model_->engine->WithSessions(
      {SessionScope::Kind::kLease, {key_}},
      [this, snapshot = std::move(snapshot)](Sessions& sessions) mutable {
        const auto info = sessions.Import(key_, std::move(snapshot));
        if (info.ok()) {
          *response_ = SerializeMessage(EncodeSession(*info, caller_.owner));
        }
        End(info.status());
      });
}

void ImportCall::OnReadDone(bool ok) {
  const absl::Status status = ok ? Add() : Import();
  if (!status.ok()) {
    End(status);
  } else if (ok) {
    StartRead(&message_);
  }
}

void ImportCall::End(const absl::Status& status) {
  Finish(ToGrpcStatus(ForCaller(status, caller_, model_), ""));
}

void ImportCall::OnDone() {
  services_.calls->End();
  delete this;
}

}  // namespace tlin
