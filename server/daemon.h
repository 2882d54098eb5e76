// The composition root: builds the parts in order, tears them down in reverse.
#ifndef TLIN_SERVER_DAEMON_H_
#define TLIN_SERVER_DAEMON_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/engine.h"
#include "engine/load_engine.h"
#include "server/credentials.h"
#include "server/flags.h"
#include "server/metrics_server.h"
#include "server/prometheus_listener.h"
#include "server/readiness_monitor.h"
#include "server/rpc_server.h"
#include "server/secret_file.h"
#include "server/served_model.h"
#include "server/state_collector.h"

namespace tlin {

// One thread owns it: the one that calls Start, Drain and the destructor.
class Daemon {
 public:
  // Listens first, so that a taken port is told at once and liveness holds
  // while a large model is read (calls are UNAVAILABLE until then); returns
  // once the model is served. The error's message is one line for a person.
  static absl::StatusOr<std::unique_ptr<Daemon>> Start(const Flags& flags);
  ~Daemon();

  // The line that says that it serves, and where.
  std::string ReadyLine() const;

  // Not ready and refusing at once; running requests have until
  // --drain_seconds, then they end with UNAVAILABLE. Nothing runs afterwards.
  // False: the engine hangs in a step and still does some seconds later. Then
  // the destructor would hang, too: leave without it.
  bool Drain();

 private:
  explicit Daemon(const Flags& flags);
  absl::Status ReadCredentials();
  absl::Status Listen();
  absl::Status Load();
  absl::Status Serve();

  // In the order of construction.
  const Flags flags_;
  StderrLogger logger_;
  MonotonicClock clock_;
  PrometheusListener listener_;
  std::unique_ptr<Credentials> credentials_;
  std::unique_ptr<SecretFile> metrics_passwords_;  // null: none
  std::unique_ptr<MetricsServer> metrics_server_;
  LoadedModel loaded_;
  std::unique_ptr<SessionStore> session_store_;  // null: none
  std::unique_ptr<Engine> engine_;
  ServedModel served_;
  std::shared_ptr<StateCollector> state_;
  std::unique_ptr<RpcServer> rpc_server_;
  std::unique_ptr<ReadinessMonitor> readiness_;
};

}  // namespace tlin

#endif  // TLIN_SERVER_DAEMON_H_
