#include "server/metrics_server.h"

#include <exception>
#include <utility>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "prometheus/exposer.h"

namespace tlin {

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(
    const std::string& listen) {
  std::string why = "no such address";
  try {
    auto exposer = std::make_unique<prometheus::Exposer>(listen);
    const std::vector<int> ports = exposer->GetListeningPorts();
    if (!ports.empty()) {
      return absl::WrapUnique(
          new MetricsServer(std::move(exposer), ports.front()));
    }
  } catch (const std::exception& e) {
    why = "cannot be bound: taken, or not an address of this machine";
  }
  return absl::UnavailableError(
      absl::StrCat("--metrics_listen=", listen, ": ", why));
}

MetricsServer::MetricsServer(std::unique_ptr<prometheus::Exposer> exposer,
                             int port)
    : exposer_(std::move(exposer)), port_(port) {}

MetricsServer::~MetricsServer() = default;

void MetricsServer::Add(
    const std::weak_ptr<prometheus::Collectable>& collectable) {
  exposer_->RegisterCollectable(collectable);
}

}  // namespace tlin
