#include "server/session_service.h"

#include <string>
#include <utility>
#include <vector>

#include "engine/base/status_macros.h"
#include "server/request_codec.h"
#include "server/session_codec.h"
#include "server/session_transfer.h"
#include "server/status_codec.h"
#include "server/wire_message.h"

namespace tlin {
namespace {

absl::StatusOr<v1::Session> Encode(const absl::StatusOr<SessionInfo>& info,
                                   const Caller& caller) {
  if (!info.ok()) return info.status();
  return EncodeSession(*info, caller.owner);
}

template <class RequestT>
SessionScope LeaseOf(const RequestT& message) {
  return {SessionScope::Kind::kLease, {message.session_id()}};
}

template <class RequestT>
absl::Status KeyOnly(const Caller& caller, RequestT* message) {
  message->set_session_id(SessionKey(caller.owner, message->session_id()));
  return absl::OkStatus();
}

}  // namespace

template <class RequestT, class Check, class Scope, class Answer>
grpc::ServerUnaryReactor* SessionService::Ask(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer& request,
    grpc::ByteBuffer* response, const Check& check, const Scope& scope,
    Answer answer) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  const ServedModel* const model = model_;
  // Lets a drain wait until the client was told.
  services_.calls->Begin();
  const absl::StatusOr<Caller> identified =
      services_.credentials->Identify(*context);
  const Caller caller = identified.ok() ? *identified : Caller();
  const auto finish = [reactor, model, caller,
                       calls = services_.calls](const absl::Status& status) {
    reactor->Finish(ToGrpcStatus(ForCaller(status, caller, model), ""));
    calls->End();
  };
  RequestT message;
  absl::Status status = identified.status();
  if (status.ok() && model == nullptr) {
    status = absl::UnavailableError("the model is still loading");
  }
  if (status.ok()) {
    status = ParseMessage(request, services_.max_message_bytes, &message);
  }
  if (status.ok()) status = CheckModel(message.model(), *model);
  if (status.ok()) status = check(caller, &message);
  if (status.ok()) {
    const SessionScope wanted = scope(message);
    status = model->engine->WithSessions(
        wanted, [message = std::move(message), answer = std::move(answer),
                 caller, finish, response](Sessions& sessions) {
          const auto answered = answer(message, caller, sessions);
          if (answered.ok()) *response = SerializeMessage(*answered);
          finish(answered.status());
        });
  }
  if (!status.ok()) finish(status);
  return reactor;
}

grpc::ServerUnaryReactor* SessionService::CreateSession(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  return Ask<v1::CreateSessionRequest>(
      context, *request, response,
      [this](const Caller& caller, v1::CreateSessionRequest* message) {
        return ChooseSessionKey("session_id", services_.ids, caller.owner,
                                message->mutable_session_id());
      },
      LeaseOf<v1::CreateSessionRequest>,
      [](const v1::CreateSessionRequest& message, const Caller& caller,
         Sessions& sessions) {
        return Encode(sessions.Create(message.session_id()), caller);
      });
}

grpc::ServerUnaryReactor* SessionService::GetSession(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  return Ask<v1::GetSessionRequest>(
      context, *request, response, KeyOnly<v1::GetSessionRequest>,
      [](const v1::GetSessionRequest& message) {
        return SessionScope{SessionScope::Kind::kLook, {message.session_id()}};
      },
      [](const v1::GetSessionRequest& message, const Caller& caller,
         Sessions& sessions) {
        return Encode(sessions.Get(message.session_id()), caller);
      });
}

grpc::ServerUnaryReactor* SessionService::ListSessions(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  return Ask<v1::ListSessionsRequest>(
      context, *request, response,
      [](const Caller&, v1::ListSessionsRequest*) { return absl::OkStatus(); },
      [](const v1::ListSessionsRequest&) {
        return SessionScope{SessionScope::Kind::kLook, {}};
      },
      [](const v1::ListSessionsRequest&, const Caller& caller,
         Sessions& sessions) -> absl::StatusOr<v1::ListSessionsResponse> {
        TLIN_ASSIGN_OR_RETURN(const std::vector<SessionInfo> infos,
                              sessions.List());
        v1::ListSessionsResponse list;
        for (const SessionInfo& info : infos) {
          absl::string_view id;
          if (!IdOfKey(caller.owner, info.id, &id)) continue;
          *list.add_sessions() = EncodeSession(info, caller.owner);
        }
        return list;
      });
}

grpc::ServerUnaryReactor* SessionService::DeleteSession(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  return Ask<v1::DeleteSessionRequest>(
      context, *request, response, KeyOnly<v1::DeleteSessionRequest>,
      LeaseOf<v1::DeleteSessionRequest>,
      [](const v1::DeleteSessionRequest& message, const Caller&,
         Sessions& sessions) -> absl::StatusOr<v1::DeleteSessionResponse> {
        TLIN_RETURN_IF_ERROR(sessions.Delete(message.session_id()));
        return v1::DeleteSessionResponse();
      });
}

grpc::ServerUnaryReactor* SessionService::ForkSession(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  return Ask<v1::ForkSessionRequest>(
      context, *request, response,
      [this](const Caller& caller, v1::ForkSessionRequest* message) {
        TLIN_RETURN_IF_ERROR(KeyOnly(caller, message));
        return ChooseSessionKey("new_session_id", services_.ids, caller.owner,
                                message->mutable_new_session_id());
      },
      [](const v1::ForkSessionRequest& message) {
        return SessionScope{SessionScope::Kind::kLease,
                            {message.session_id(), message.new_session_id()}};
      },
      [](const v1::ForkSessionRequest& message, const Caller& caller,
         Sessions& sessions) {
        return Encode(
            sessions.Fork(message.session_id(), message.new_session_id()),
            caller);
      });
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* SessionService::ExportSession(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) {
  return ExportCall::Start(services_, model_, *context, *request);
}

grpc::ServerReadReactor<grpc::ByteBuffer>* SessionService::ImportSession(
    grpc::CallbackServerContext* context, grpc::ByteBuffer* response) {
  return ImportCall::Start(services_, model_, *context, response);
}

}  // namespace tlin
