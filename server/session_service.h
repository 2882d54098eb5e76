// tlin.v1.Sessions: each call is a question to the engine's thread.
#ifndef TLIN_SERVER_SESSION_SERVICE_H_
#define TLIN_SERVER_SESSION_SERVICE_H_

#include <atomic>

#include "server/call_services.h"
#include "tlin/v1/sessions.grpc.pb.h"

namespace tlin {

// Methods take raw bytes: see wire_message.h.
using RawSessionService = v1::Sessions::WithRawCallbackMethod_CreateSession<
    v1::Sessions::WithRawCallbackMethod_GetSession<
        v1::Sessions::WithRawCallbackMethod_ListSessions<
            v1::Sessions::WithRawCallbackMethod_DeleteSession<
                v1::Sessions::WithRawCallbackMethod_ForkSession<
                    v1::Sessions::WithRawCallbackMethod_ExportSession<
                        v1::Sessions::WithRawCallbackMethod_ImportSession<
                            v1::Sessions::Service>>>>>>>;

// Thread-safe; methods run on gRPC's threads.
class SessionService final : public RawSessionService {
 public:
  explicit SessionService(const CallServices& services) : services_(services) {}

  // Until then every call is UNAVAILABLE. `model` outlives the service.
  void SetModel(const ServedModel* model) { model_ = model; }

  grpc::ServerUnaryReactor* CreateSession(grpc::CallbackServerContext* context,
                                          const grpc::ByteBuffer* request,
                                          grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* GetSession(grpc::CallbackServerContext* context,
                                       const grpc::ByteBuffer* request,
                                       grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* ListSessions(grpc::CallbackServerContext* context,
                                         const grpc::ByteBuffer* request,
                                         grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* DeleteSession(grpc::CallbackServerContext* context,
                                          const grpc::ByteBuffer* request,
                                          grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* ForkSession(grpc::CallbackServerContext* context,
                                        const grpc::ByteBuffer* request,
                                        grpc::ByteBuffer* response) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* ExportSession(
      grpc::CallbackServerContext* context,
      const grpc::ByteBuffer* request) override;
  grpc::ServerReadReactor<grpc::ByteBuffer>* ImportSession(
      grpc::CallbackServerContext* context,
      grpc::ByteBuffer* response) override;

 private:
  // Parses `request`, has `check` look at it here, `scope` say what it is
  // about, and `answer` answer it on the engine's thread. `check` turns the
  // caller's names of sessions into keys.
  template <class RequestT, class Check, class Scope, class Answer>
  grpc::ServerUnaryReactor* Ask(grpc::CallbackServerContext* context,
                                const grpc::ByteBuffer& request,
                                grpc::ByteBuffer* response, const Check& check,
                                const Scope& scope, Answer answer);

  // Constant after construction.
  const CallServices services_;

  std::atomic<const ServedModel*> model_{nullptr};
};

}  // namespace tlin

#endif  // TLIN_SERVER_SESSION_SERVICE_H_
