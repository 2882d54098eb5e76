// GET /metrics, on a port of its own: prometheus-cpp's exposer without its
// exceptions.
#ifndef TLIN_SERVER_METRICS_SERVER_H_
#define TLIN_SERVER_METRICS_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace prometheus {
class Collectable;
class Exposer;
}  // namespace prometheus

namespace tlin {

class MetricsServer {
 public:
  // `listen` is HOST:PORT; port 0 takes a free one. UNAVAILABLE where it cannot
  // be had; the message names it.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(
      const std::string& listen);
  ~MetricsServer();

  // Scraped until it is destroyed; not owned.
  void Add(const std::weak_ptr<prometheus::Collectable>& collectable);

  int port() const { return port_; }

 private:
  MetricsServer(std::unique_ptr<prometheus::Exposer> exposer, int port);

  // Constant after construction; thread-safe.
  const std::unique_ptr<prometheus::Exposer> exposer_;
  const int port_;
};

}  // namespace tlin

#endif  // TLIN_SERVER_METRICS_SERVER_H_
