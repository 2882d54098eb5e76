// ExportSession and ImportSession: a snapshot as a stream of chunks.
#ifndef TLIN_SERVER_SESSION_TRANSFER_H_
#define TLIN_SERVER_SESSION_TRANSFER_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/sessions.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"
#include "server/call_services.h"

namespace tlin {

// One ExportSession RPC. The engine's thread hands over the snapshot; gRPC's
// threads encode and write it, one chunk at a time. Deletes itself.
class ExportCall final : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  // A gRPC thread. `model` is null while it is loading.
  static grpc::ServerWriteReactor<grpc::ByteBuffer>* Start(
      const CallServices& services, const ServedModel* model,
      const grpc::CallbackServerContext& context,
      const grpc::ByteBuffer& request);

  // gRPC threads, one after the other.
  void OnWriteDone(bool ok) override;
  void OnDone() override;

 private:
  ExportCall(const CallServices& services, const ServedModel* model)
      : services_(services), model_(model) {}

  absl::Status Ask(const grpc::CallbackServerContext& context,
                   const grpc::ByteBuffer& request);
  // Engine thread, at most once.
  void OnSnapshot(absl::StatusOr<Snapshot> snapshot);
  void WriteNext();

  // Constant after construction.
  const CallServices services_;
  const ServedModel* const model_;

  // Of whichever thread the call is at: one operation follows the other.
  Caller caller_;
  Snapshot snapshot_;
  std::string bytes_;
  size_t written_ = 0;
  grpc::ByteBuffer message_;  // gRPC reads it until OnWriteDone
};

// One ImportSession RPC: collects the chunks, and decodes them when the last
// one has come. Deletes itself.
class ImportCall final : public grpc::ServerReadReactor<grpc::ByteBuffer> {
 public:
  static grpc::ServerReadReactor<grpc::ByteBuffer>* Start(
      const CallServices& services, const ServedModel* model,
      const grpc::CallbackServerContext& context, grpc::ByteBuffer* response);

  // gRPC threads, one after the other.
  void OnReadDone(bool ok) override;
  void OnDone() override;

 private:
  ImportCall(const CallServices& services, const ServedModel* model,
             grpc::ByteBuffer* response)
      : services_(services), model_(model), response_(response) {}

  absl::Status Add();
  // The whole snapshot is there.
  absl::Status Import();
  void End(const absl::Status& status);

  // Constant after construction.
  const CallServices services_;
  const ServedModel* const model_;
  grpc::ByteBuffer* const response_;

  // Of whichever thread the call is at.
  Caller caller_;
  grpc::ByteBuffer message_;  // gRPC fills it until OnReadDone
  bool first_ = true;
  std::string key_;  // of the session in the engine
  std::string bytes_;
};

}  // namespace tlin

#endif  // TLIN_SERVER_SESSION_TRANSFER_H_
