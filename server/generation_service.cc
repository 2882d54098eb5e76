#include "server/generation_service.h"

#include <string>

#include "engine/base/status_macros.h"
#include "server/converse_call.h"
#include "server/generate_call.h"
#include "server/request_codec.h"
#include "server/score_call.h"
#include "server/status_codec.h"
#include "server/wire_message.h"

namespace tlin {
namespace {

// A call that the engine has no part in: decode, answer, done.
template <typename RequestT, typename ResponseT>
absl::Status Answer(absl::StatusOr<ResponseT> (*function)(const RequestT&,
                                                          const ServedModel&),
                    const CallServices& services, const ServedModel* model,
                    const grpc::CallbackServerContext& context,
                    const grpc::ByteBuffer& request,
                    grpc::ByteBuffer* response) {
  TLIN_ASSIGN_OR_RETURN(const Caller caller,
                        services.credentials->Identify(context));
  if (model == nullptr) {
    return ForCaller(absl::UnavailableError("the model is still loading"),
                     caller, model);
  }
  RequestT message;
  TLIN_RETURN_IF_ERROR(
      ParseMessage(request, services.max_message_bytes, &message));
  TLIN_ASSIGN_OR_RETURN(const ResponseT answer, function(message, *model));
  *response = SerializeMessage(answer);
  return absl::OkStatus();
}

// gRPC keeps a request's bytes until its call ends, and counts them against the
// quota of all that arrives. They are read: many long prompts may wait.
void Free(const grpc::ByteBuffer* request) {
  const_cast<grpc::ByteBuffer*>(request)->Clear();
}

grpc::ServerUnaryReactor* FinishNow(const CallServices& services,
                                    grpc::CallbackServerContext* context,
                                    const absl::Status& status) {
  services.calls->Begin();  // so that a drain sees that calls still come
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(status, ""));
  services.calls->End();
  return reactor;
}

}  // namespace

grpc::ServerWriteReactor<grpc::ByteBuffer>* GenerationService::Generate(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) {
  auto* call = GenerateCall::Start(services_, model_, *context, *request);
  Free(request);
  return call;
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>*
GenerationService::Converse(grpc::CallbackServerContext* context) {
  return ConverseCall::Start(services_, model_, context);
}

grpc::ServerUnaryReactor* GenerationService::Score(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  auto* call =
      ScoreCall::Start(services_, model_, *context, *request, response);
  Free(request);
  return call;
}

grpc::ServerUnaryReactor* GenerationService::Tokenize(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  return FinishNow(
      services_, context,
      Answer(&tlin::Tokenize, services_, model_, *context, *request, response));
}

grpc::ServerUnaryReactor* GenerationService::Detokenize(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  return FinishNow(services_, context,
                   Answer(&tlin::Detokenize, services_, model_, *context,
                          *request, response));
}

grpc::ServerUnaryReactor* GenerationService::GetModel(
    grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* response) {
  return FinishNow(
      services_, context,
      Answer(&DescribeModel, services_, model_, *context, *request, response));
}

}  // namespace tlin
