#include "client/client.h"

#include <optional>
#include <utility>

#include "client/rpc_status.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "tlin/v1/generation.grpc.pb.h"
#include "tlin/v1/sessions.grpc.pb.h"

namespace tlin::client {
namespace {

constexpr size_t kChunkBytes = 64 << 10;  // of a snapshot

void SetDeadline(const CallOptions& options, grpc::ClientContext* context) {
  if (options.deadline == absl::InfiniteDuration()) return;
  context->set_deadline(absl::ToChronoTime(absl::Now() + options.deadline));
}

Connection PlainConnection(const std::string& address) {
  Connection connection;
  connection.address = address;
  return connection;
}

// Proxies keep a session at one server by this header (deploy/README.md).
constexpr char kSessionHeader[] = "tlin-session";

template <typename Request>
void SetSession(const Request& request, grpc::ClientContext* context) {
  if constexpr (requires { request.session_id(); }) {
    if (request.session_id().empty()) return;
    context->AddMetadata(kSessionHeader, request.session_id());
  }
}

// Calls `method` of `stub` and waits for its answer.
template <typename Response, typename Stub, typename Request>
absl::StatusOr<Response> Call(Stub* stub,
                              grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                           const Request&,
                                                           Response*),
                              const Request& request,
                              const CallOptions& options) {
  grpc::ClientContext context;
  SetDeadline(options, &context);
  SetSession(request, &context);
  Response response;
  const grpc::Status status = (stub->*method)(&context, request, &response);
  if (!status.ok()) return FromGrpcStatus(status);
  return response;
}

}  // namespace

struct Client::Stubs {
  explicit Stubs(const std::shared_ptr<grpc::Channel>& channel)
      : generation(channel), sessions(channel), health(channel) {}

  v1::Generation::Stub generation;
  v1::Sessions::Stub sessions;
  grpc::health::v1::Health::Stub health;
};

class GenerateStream::Impl {
 public:
  Impl(v1::Generation::Stub* stub, const v1::GenerateRequest& request,
       const CallOptions& options) {
    SetDeadline(options, &context_);
    SetSession(request, &context_);
    reader_ = stub->Generate(&context_, request);
  }

  bool Next(v1::GenerateResponse* event) {
    if (!drained_) drained_ = !reader_->Read(event);
    return !drained_;
  }

  absl::Status Finish() {
    if (!drained_) context_.TryCancel();
    v1::GenerateResponse ignored;
    while (Next(&ignored)) {
    }
    if (!end_.has_value()) end_ = FromGrpcStatus(reader_->Finish());
    return *end_;
  }

  void Cancel() { context_.TryCancel(); }

 private:
  grpc::ClientContext context_;  // outlives reader_; TryCancel is thread-safe
  std::unique_ptr<grpc::ClientReader<v1::GenerateResponse>> reader_;
  // Of the reading thread.
  bool drained_ = false;
  std::optional<absl::Status> end_;
};

GenerateStream::GenerateStream(std::unique_ptr<Impl> impl)
    : impl_(std::move(impl)) {}

GenerateStream::~GenerateStream() { Finish().IgnoreError(); }

bool GenerateStream::Next(v1::GenerateResponse* event) {
  return impl_->Next(event);
}

absl::Status GenerateStream::Finish() { return impl_->Finish(); }

void GenerateStream::Cancel() { impl_->Cancel(); }

Client::Client(const std::string& address) : Client(PlainConnection(address)) {}

Client::Client(const Connection& connection)
    : stubs_(std::make_unique<Stubs>(MakeChannel(connection))) {}

Client::~Client() = default;

std::unique_ptr<GenerateStream> Client::Generate(
    const v1::GenerateRequest& request, const CallOptions& options) {
  // The call holds its channel, so the stream needs nothing else of the client.
  return std::make_unique<GenerateStream>(
      std::make_unique<GenerateStream::Impl>(&stubs_->generation, request,
                                             options));
}

absl::StatusOr<v1::ScoreResponse> Client::Score(const v1::ScoreRequest& request,
                                                const CallOptions& options) {
  return Call<v1::ScoreResponse>(
      &stubs_->generation, &v1::Generation::Stub::Score, request, options);
}

absl::StatusOr<v1::TokenizeResponse> Client::Tokenize(
    const v1::TokenizeRequest& request, const CallOptions& options) {
  return Call<v1::TokenizeResponse>(
      &stubs_->generation, &v1::Generation::Stub::Tokenize, request, options);
}

absl::StatusOr<v1::DetokenizeResponse> Client::Detokenize(
    const v1::DetokenizeRequest& request, const CallOptions& options) {
  return Call<v1::DetokenizeResponse>(
      &stubs_->generation, &v1::Generation::Stub::Detokenize, request, options);
}

absl::StatusOr<v1::Model> Client::GetModel(const v1::GetModelRequest& request,
                                           const CallOptions& options) {
  return Call<v1::Model>(&stubs_->generation, &v1::Generation::Stub::GetModel,
                         request, options);
}

absl::StatusOr<v1::Session> Client::CreateSession(
    const v1::CreateSessionRequest& request, const CallOptions& options) {
  return Call<v1::Session>(
      &stubs_->sessions, &v1::Sessions::Stub::CreateSession, request, options);
}

absl::StatusOr<v1::Session> Client::GetSession(
    const v1::GetSessionRequest& request, const CallOptions& options) {
  return Call<v1::Session>(&stubs_->sessions, &v1::Sessions::Stub::GetSession,
                           request, options);
}

absl::StatusOr<v1::ListSessionsResponse> Client::ListSessions(
    const v1::ListSessionsRequest& request, const CallOptions& options) {
  return Call<v1::ListSessionsResponse>(
      &stubs_->sessions, &v1::Sessions::Stub::ListSessions, request, options);
}

absl::Status Client::DeleteSession(const v1::DeleteSessionRequest& request,
                                   const CallOptions& options) {
  return Call<v1::DeleteSessionResponse>(&stubs_->sessions,
                                         &v1::Sessions::Stub::DeleteSession,
                                         request, options)
      .status();
}

absl::StatusOr<v1::Session> Client::ForkSession(
    const v1::ForkSessionRequest& request, const CallOptions& options) {
  return Call<v1::Session>(&stubs_->sessions, &v1::Sessions::Stub::ForkSession,
                           request, options);
}

absl::Status Client::ExportSession(const v1::ExportSessionRequest& request,
                                   std::string* snapshot,
                                   const CallOptions& options) {
  grpc::ClientContext context;
  SetDeadline(options, &context);
  SetSession(request, &context);
  const auto reader = stubs_->sessions.ExportSession(&context, request);
  v1::SessionChunk chunk;
  while (reader->Read(&chunk)) snapshot->append(chunk.data());
  return FromGrpcStatus(reader->Finish());
}

absl::StatusOr<v1::Session> Client::ImportSession(const std::string& model,
                                                  const std::string& session_id,
                                                  absl::string_view snapshot,
                                                  const CallOptions& options) {
  grpc::ClientContext context;
  SetDeadline(options, &context);
  v1::SessionChunk chunk;
  chunk.set_model(model);
  chunk.set_session_id(session_id);
  SetSession(chunk, &context);
  v1::Session session;
  const auto writer = stubs_->sessions.ImportSession(&context, &session);
  // The first one even where there are no bytes: it has the names.
  do {
    chunk.set_data(std::string(snapshot.substr(0, kChunkBytes)));
    snapshot.remove_prefix(chunk.data().size());
    if (!writer->Write(chunk)) break;
    chunk.Clear();
  } while (!snapshot.empty());
  writer->WritesDone();
  const grpc::Status status = writer->Finish();
  if (!status.ok()) return FromGrpcStatus(status);
  return session;
}

absl::StatusOr<Health> Client::CheckHealth(const std::string& service,
                                           const CallOptions& options) {
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(service);
  const auto response = Call<grpc::health::v1::HealthCheckResponse>(
      &stubs_->health, &grpc::health::v1::Health::Stub::Check, request,
      options);
  if (!response.ok()) return response.status();
  switch (response->status()) {
    case grpc::health::v1::HealthCheckResponse::SERVING:
      return Health::kServing;
    case grpc::health::v1::HealthCheckResponse::NOT_SERVING:
      return Health::kNotServing;
    default:
      return Health::kUnknown;
  }
}

}  // namespace tlin::client
