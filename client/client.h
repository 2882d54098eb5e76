// The C++ client of tlind, for programs that embed it.
//
//   tlin::client::Client client("127.0.0.1:50051");
//   tlin::v1::GenerateRequest request;
//   request.set_text("Once upon a time");
//   auto stream = client.Generate(request, {.deadline = absl::Seconds(30)});
//   tlin::v1::GenerateResponse event;
//   while (stream->Next(&event)) std::cout << event.chunk().text();
//   absl::Status status = stream->Finish();
//
// A Connection (channel.h) in place of the address encrypts, and proves who
// calls. Errors are absl::Status with the server's code and message;
// RetryDelay() (rpc_status.h) reads when a refused call may be tried again.
#ifndef TLIN_CLIENT_CLIENT_H_
#define TLIN_CLIENT_CLIENT_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/channel.h"
#include "tlin/v1/generation.pb.h"
#include "tlin/v1/sessions.pb.h"

namespace tlin::client {

struct CallOptions {
  // From the start of the call; the server sees it and gives up in time.
  absl::Duration deadline = absl::InfiniteDuration();
};

enum class Health { kUnknown, kServing, kNotServing };

// One answer as it comes. One thread reads; Cancel may be called from any.
// It keeps the connection alive: it may outlive its Client.
class GenerateStream {
 public:
  class Impl;

  explicit GenerateStream(std::unique_ptr<Impl> impl);
  // Cancels what still runs.
  ~GenerateStream();
  GenerateStream(const GenerateStream&) = delete;
  GenerateStream& operator=(const GenerateStream&) = delete;

  // Blocks until the next event. False when there is none any more: Finish()
  // then tells whether that was the answer's proper end.
  bool Next(v1::GenerateResponse* event);

  // How the stream ended; cancels it first where Next has not yet returned
  // false. May be called again.
  absl::Status Finish();

  // Ends the stream soon with CANCELLED. Thread-safe, does not block.
  void Cancel();

 private:
  const std::unique_ptr<Impl> impl_;
};

// Thread-safe. One connection, made by the first call and shared by all.
class Client {
 public:
  // "host:port", without encryption or credentials.
  explicit Client(const std::string& address);
  explicit Client(const Connection& connection);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Returns at once; errors, too, come out of the stream.
  std::unique_ptr<GenerateStream> Generate(const v1::GenerateRequest& request,
                                           const CallOptions& options = {});

  // These block until the answer, an error or the deadline.
  absl::StatusOr<v1::ScoreResponse> Score(const v1::ScoreRequest& request,
                                          const CallOptions& options = {});
  absl::StatusOr<v1::TokenizeResponse> Tokenize(
      const v1::TokenizeRequest& request, const CallOptions& options = {});
  absl::StatusOr<v1::DetokenizeResponse> Detokenize(
      const v1::DetokenizeRequest& request, const CallOptions& options = {});
  absl::StatusOr<v1::Model> GetModel(const v1::GetModelRequest& request = {},
                                     const CallOptions& options = {});
  absl::StatusOr<v1::Session> CreateSession(
      const v1::CreateSessionRequest& request, const CallOptions& options = {});
  absl::StatusOr<v1::Session> GetSession(const v1::GetSessionRequest& request,
                                         const CallOptions& options = {});
  absl::StatusOr<v1::ListSessionsResponse> ListSessions(
      const v1::ListSessionsRequest& request = {},
      const CallOptions& options = {});
  absl::Status DeleteSession(const v1::DeleteSessionRequest& request,
                             const CallOptions& options = {});
  absl::StatusOr<v1::Session> ForkSession(const v1::ForkSessionRequest& request,
                                          const CallOptions& options = {});
  // Appends the snapshot's bytes to *snapshot.
  absl::Status ExportSession(const v1::ExportSessionRequest& request,
                             std::string* snapshot,
                             const CallOptions& options = {});
  // `session_id` may be empty: the server names it.
  absl::StatusOr<v1::Session> ImportSession(const std::string& model,
                                            const std::string& session_id,
                                            absl::string_view snapshot,
                                            const CallOptions& options = {});
  // grpc.health.v1 Check. Empty: the server as a whole. NOT_FOUND for a service
  // that the server does not know.
  absl::StatusOr<Health> CheckHealth(const std::string& service = "",
                                     const CallOptions& options = {});

 private:
  struct Stubs;
  const std::unique_ptr<Stubs> stubs_;
};

}  // namespace tlin::client

#endif  // TLIN_CLIENT_CLIENT_H_
