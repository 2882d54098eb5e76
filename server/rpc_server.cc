#include "server/rpc_server.h"

#include <algorithm>
#include <climits>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/resource_quota.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "server/generation_service.h"
#include "server/session_service.h"

namespace tlin {
namespace {

constexpr char kReadyName[] = "tlin.v1.Generation";

// gRPC buffers a message whole before it looks at its length, so what bounds
// memory is a quota of all that is being received: beyond it gRPC cuts calls
// off with RESOURCE_EXHAUSTED. What fits is refused by ParseMessage, which
// counts the request and names the limit.
constexpr int64_t kMessagesAtOnce = 8;
constexpr int64_t kLeastQuotaBytes = int64_t{64} << 20;

void SetLimits(const RpcServerOptions& options, grpc::ServerBuilder* builder) {
  const int64_t quota_bytes =
      std::max(kMessagesAtOnce * options.max_message_bytes, kLeastQuotaBytes);
  grpc::ResourceQuota quota;
  quota.Resize(static_cast<size_t>(quota_bytes));
  builder->SetResourceQuota(quota);
  builder->SetMaxReceiveMessageSize(
      static_cast<int>(std::min<int64_t>(quota_bytes, INT_MAX)));
  builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                              options.max_streams);
  // A taken port is an error, not a silent half of the traffic.
  builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // A client that vanished without a word gives its slot back within 40 s.
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  // Clients may ask as often as every 10 s, streams or not.
  builder->AddChannelArgument(
      GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  // Connections that never speak HTTP/2.
  builder->AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 10'000);
}

}  // namespace

absl::StatusOr<std::unique_ptr<RpcServer>> RpcServer::Start(
    const RpcServerOptions& options, Clock* clock, Logger* logger,
    PrometheusListener* metrics, const Credentials* credentials) {
  auto server = absl::WrapUnique(
      new RpcServer(options, clock, logger, metrics, credentials));
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  SetLimits(options, &builder);
  builder.AddListeningPort(options.listen, MakeServerCredentials(options.tls),
                           &server->port_);
  builder.RegisterService(server->service_.get());
  builder.RegisterService(server->session_service_.get());
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr || server->port_ == 0) {
    return absl::UnavailableError(
        absl::StrCat("--listen=", options.listen,
                     ": cannot be bound: taken, or not an address of this "
                     "machine"));
  }
  server->SetReady(false);
  return server;
}

RpcServer::RpcServer(const RpcServerOptions& options, Clock* clock,
                     Logger* logger, PrometheusListener* metrics,
                     const Credentials* credentials)
    : calls_(clock) {
  CallServices services;
  services.clock = clock;
  services.logger = logger;
  services.metrics = metrics;
  services.ids = &ids_;
  services.calls = &calls_;
  services.credentials = credentials;
  services.max_message_bytes = options.max_message_bytes;
  services.log_requests = options.log_requests;
  service_ = std::make_unique<GenerationService>(services);
  session_service_ = std::make_unique<SessionService>(services);
}

RpcServer::~RpcServer() {
  if (server_ != nullptr) Shutdown(absl::ZeroDuration());
}

void RpcServer::SetModel(const ServedModel* model) {
  service_->SetModel(model);
  session_service_->SetModel(model);
}

void RpcServer::SetReady(bool ready) {
  server_->GetHealthCheckService()->SetServingStatus(kReadyName, ready);
}

bool RpcServer::WaitForCalls(absl::Duration timeout) {
  return calls_.WaitUntilNone(timeout);
}

bool RpcServer::WaitForPause(absl::Duration pause, absl::Duration timeout) {
  return calls_.WaitForPause(pause, timeout);
}

void RpcServer::Shutdown(absl::Duration grace) {
  server_->Shutdown(absl::ToChronoTime(absl::Now() + grace));
}

}  // namespace tlin
