// What stands now, told at scrape time: slots, queue, memory, the engine's
// pulse. A stuck engine cannot keep these from moving.
#ifndef TLIN_SERVER_STATE_COLLECTOR_H_
#define TLIN_SERVER_STATE_COLLECTOR_H_

#include <functional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/model_runner.h"
#include "prometheus/collectable.h"
#include "server/process_memory.h"
#include "server/prometheus_listener.h"

namespace tlin {

// Collect is thread-safe: the exposer's threads call it.
class StateCollector final : public prometheus::Collectable {
 public:
  // `memory` was taken before the engine started: only history_used changes,
  // and the listener tells that. `listener` and `engine` outlive the collector.
  StateCollector(const std::string& model, const ModelInfo& info,
                 const ModelMemory& memory,
                 std::function<DeviceMemory()> device_memory,
                 const PrometheusListener* listener, const Engine* engine);

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  class Families;
  void CollectEngine(Families* families) const;
  void CollectMemory(Families* families) const;
  void CollectProcess(Families* families) const;

  // Constant after construction.
  const std::string model_;
  const ModelInfo info_;
  const ModelMemory memory_;
  const std::function<DeviceMemory()> device_memory_;
  const PrometheusListener* const listener_;
  const Engine* const engine_;
};

}  // namespace tlin

#endif  // TLIN_SERVER_STATE_COLLECTOR_H_
