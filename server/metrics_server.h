// GET /metrics, on a port of its own.
#ifndef TLIN_SERVER_METRICS_SERVER_H_
#define TLIN_SERVER_METRICS_SERVER_H_

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "server/secret_file.h"

namespace httplib {
class Server;
}  // namespace httplib

namespace prometheus {
class Collectable;
}  // namespace prometheus

namespace tlin {

struct MetricsServerOptions {
  std::string listen;  // HOST:PORT; port 0 takes a free one
  // PEM files; empty: no TLS. Read again for each connection.
  std::string certificate;
  std::string key;
  // Who may read, by basic authentication; null: everybody. Outlives the
  // server.
  SecretFile* passwords = nullptr;
};

// Threads of its own; all methods are thread-safe.
class MetricsServer {
 public:
  // UNAVAILABLE where the address cannot be had; the message names it.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(
      const MetricsServerOptions& options);
  // A scrape in progress ends first.
  ~MetricsServer();

  // Scraped until it is destroyed; not owned.
  void Add(const std::weak_ptr<prometheus::Collectable>& collectable);

  int port() const { return port_; }

 private:
  MetricsServer(const MetricsServerOptions& options,
                std::unique_ptr<httplib::Server> server);

  absl::Status Bind();
  std::string Collect() const;

  // Constant after Start.
  const std::string listen_;
  const std::unique_ptr<httplib::Server> server_;
  int port_ = 0;
  std::thread thread_;

  mutable absl::Mutex mutex_;
  std::vector<std::weak_ptr<prometheus::Collectable>> collectables_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace tlin

#endif  // TLIN_SERVER_METRICS_SERVER_H_
