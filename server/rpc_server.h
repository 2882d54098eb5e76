// The gRPC port: the services, health, reflection, limits.
#ifndef TLIN_SERVER_RPC_SERVER_H_
#define TLIN_SERVER_RPC_SERVER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/call_services.h"
#include "server/tls.h"

namespace grpc {
class Server;
}  // namespace grpc

namespace tlin {

class GenerationService;
class SessionService;

struct RpcServerOptions {
  std::string listen;  // HOST:PORT; port 0 takes a free one
  TlsFiles tls;        // checked: see tls.h
  int32_t max_message_bytes = 16 << 20;
  int32_t max_streams = 1024;  // at once, of one connection
  bool log_requests = true;
};

// Health: "" (alive) is SERVING from Start to Shutdown, whatever the load.
// "tlin.v1.Generation" (ready) is what SetReady says, and NOT_SERVING at first.
// All methods are thread-safe.
class RpcServer {
 public:
  // `clock`, `logger`, `metrics` and `credentials` outlive the server.
  // UNAVAILABLE where the address cannot be had; the message names it.
  static absl::StatusOr<std::unique_ptr<RpcServer>> Start(
      const RpcServerOptions& options, Clock* clock, Logger* logger,
      PrometheusListener* metrics, const Credentials* credentials);
  // Shuts down without grace where that was not done before.
  ~RpcServer();

  int port() const { return port_; }

  // Calls reach `model` from now on, which outlives the server.
  void SetModel(const ServedModel* model);
  void SetReady(bool ready);

  // True: every call that the engine has part in is done, down to its last byte
  // handed to the transport.
  bool WaitForCalls(absl::Duration timeout);
  // True: no call has begun for `pause`, the time before this included. False:
  // they went on for `timeout`.
  bool WaitForPause(absl::Duration pause, absl::Duration timeout);
  // Takes no new connections, cuts off after `grace` what still runs (health
  // watches do), and waits for that. A call that begins meanwhile, on a
  // connection that there is, is cut off by gRPC with CANCELLED.
  // REQUIRES: the engine has ended, or soon ends, all requests.
  void Shutdown(absl::Duration grace);

 private:
  RpcServer(const RpcServerOptions& options, Clock* clock, Logger* logger,
            PrometheusListener* metrics, const Credentials* credentials);

  // Constant after Start.
  RequestIds ids_;
  CallsInFlight calls_;
  std::unique_ptr<GenerationService> service_;
  std::unique_ptr<SessionService> session_service_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

}  // namespace tlin

#endif  // TLIN_SERVER_RPC_SERVER_H_
