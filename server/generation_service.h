// tlin.v1.Generation: hands each RPC to the class that answers it.
#ifndef TLIN_SERVER_GENERATION_SERVICE_H_
#define TLIN_SERVER_GENERATION_SERVICE_H_

#include <atomic>

#include "server/call_services.h"
#include "tlin/v1/generation.grpc.pb.h"

namespace tlin {

// Methods take raw bytes: see wire_message.h.
using RawGenerationService = v1::Generation::WithRawCallbackMethod_Generate<
    v1::Generation::WithRawCallbackMethod_Converse<
        v1::Generation::WithRawCallbackMethod_Score<
            v1::Generation::WithRawCallbackMethod_Tokenize<
                v1::Generation::WithRawCallbackMethod_Detokenize<
                    v1::Generation::WithRawCallbackMethod_GetModel<
                        v1::Generation::Service>>>>>>;

// Thread-safe; methods run on gRPC's threads.
class GenerationService final : public RawGenerationService {
 public:
  explicit GenerationService(const CallServices& services)
      : services_(services) {}

  // Until then every call is UNAVAILABLE. `model` outlives the service.
  void SetModel(const ServedModel* model) { model_ = model; }

  grpc::ServerWriteReactor<grpc::ByteBuffer>* Generate(
      grpc::CallbackServerContext* context,
      const grpc::ByteBuffer* request) override;
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Converse(
      grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* Score(grpc::CallbackServerContext* context,
                                  const grpc::ByteBuffer* request,
                                  grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* Tokenize(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* Detokenize(grpc::CallbackServerContext* context,
                                       const grpc::ByteBuffer* request,
                                       grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override;

 private:
  // Constant after construction.
  const CallServices services_;

  std::atomic<const ServedModel*> model_{nullptr};
};

}  // namespace tlin

#endif  // TLIN_SERVER_GENERATION_SERVICE_H_
