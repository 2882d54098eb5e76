#include "server/state_collector.h"

#include <algorithm>
#include <utility>

#include "prometheus/metric_family.h"
#include "server/version.h"

namespace tlin {

// Builds the answer to one scrape.
class StateCollector::Families {
 public:
  using Label = prometheus::ClientMetric::Label;
  using Labels = std::vector<Label>;

  void Begin(const char* name, const char* help,
             prometheus::MetricType type = prometheus::MetricType::Gauge) {
    families_.push_back({name, help, type, {}});
  }
  void Add(double value, Labels labels) {
    prometheus::ClientMetric metric;
    metric.label = std::move(labels);
    if (families_.back().type == prometheus::MetricType::Counter) {
      metric.counter.value = value;
    } else {
      metric.gauge.value = value;
    }
    families_.back().metric.push_back(std::move(metric));
  }
  void Gauge(const char* name, const char* help, double value,
             const Labels& labels) {
    Begin(name, help);
    Add(value, labels);
  }
  std::vector<prometheus::MetricFamily> Take() { return std::move(families_); }

 private:
  std::vector<prometheus::MetricFamily> families_;
};

namespace {

double Ratio(int64_t part, int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole)
                   : 0.0;
}

}  // namespace

StateCollector::StateCollector(const std::string& model, const ModelInfo& info,
                               const ModelMemory& memory,
                               std::function<DeviceMemory()> device_memory,
                               const PrometheusListener* listener,
                               const Engine* engine)
    : model_(model),
      info_(info),
      memory_(memory),
      device_memory_(std::move(device_memory)),
      listener_(listener),
      engine_(engine) {}

std::vector<prometheus::MetricFamily> StateCollector::Collect() const {
  Families families;
  CollectEngine(&families);
  CollectMemory(&families);
  CollectProcess(&families);
  return families.Take();
}

void StateCollector::CollectEngine(Families* families) const {
  const Families::Labels model = {{"model", model_}};
  const EngineState state = listener_->StateNow();
  families->Gauge("tlin_requests_running", "Requests that hold a slot.",
                  static_cast<double>(state.running), model);
  families->Gauge("tlin_requests_waiting", "Requests that wait for a slot.",
                  static_cast<double>(state.waiting), model);
  families->Gauge("tlin_oldest_waiting_seconds",
                  "How long the oldest waiting request has waited.",
                  absl::ToDoubleSeconds(state.oldest_waiting), model);
  families->Gauge(
      "tlin_seconds_since_last_step",
      "Since the engine's thread last made progress; 0 while it has no work.",
      absl::ToDoubleSeconds(engine_->TimeSinceProgress()), model);
  families->Gauge("tlin_slots", "Sessions that fit at once.", info_.slots,
                  model);
  families->Gauge("tlin_slots_used", "Slots in use.",
                  static_cast<double>(state.slots_used), model);
  families->Gauge("tlin_slots_high_water", "Most slots ever in use at once.",
                  static_cast<double>(state.slots_high_water), model);
  families->Gauge("tlin_cache_usage_ratio",
                  "Used part of the slots or of the history pages, whichever "
                  "is fuller.",
                  std::max(Ratio(state.slots_used, info_.slots),
                           Ratio(state.history_bytes_used, memory_.history)),
                  model);
  families->Begin("tlin_sessions",
                  "Sessions: a request waits or runs on it, its state is in a "
                  "slot, or elsewhere.");
  const std::pair<const char*, int64_t> sessions[] = {
      {"active", state.sessions_active},
      {"idle", state.sessions_idle},
      {"stored", state.sessions_stored}};
  for (const auto& [name, count] : sessions) {
    families->Add(static_cast<double>(count),
                  {{"model", model_}, {"state", name}});
  }
  families->Begin("tlin_step_cost_seconds",
                  "What a step is expected to take, fitted while running: one "
                  "that decodes, "
                  "and each GFLOP of its decode rows, fills and syncs.");
  const StepPrices& prices = state.step_prices;
  const std::pair<const char*, double> parts[] = {
      {"decode_step", prices.decode_step},
      {"decode_gflop", 1e3 * prices.decode_unit},
      {"fill_gflop", 1e3 * prices.fill_unit},
      {"sync_product_gflop", 1e3 * prices.sync.product},
      {"sync_attention_gflop", 1e3 * prices.sync.attention}};
  for (const auto& [part, seconds] : parts) {
    families->Add(seconds, {{"model", model_}, {"part", part}});
  }
  families->Begin(
      "tlin_preemptions_total",
      "Sequences that lost their slot before their end: none, ever.",
      prometheus::MetricType::Counter);
  families->Add(0, model);
  families->Begin("tlin_prefix_cache_queries_total",
                  "Syncs that could have used a state kept before.",
                  prometheus::MetricType::Counter);
  families->Add(static_cast<double>(state.prefix_cache_queries), model);
  families->Begin("tlin_prefix_cache_hits_total",
                  "Syncs that were not needed: the state was kept before.",
                  prometheus::MetricType::Counter);
  families->Add(static_cast<double>(state.prefix_cache_hits), model);
}

void StateCollector::CollectMemory(Families* families) const {
  const EngineState state = listener_->StateNow();
  families->Gauge("tlin_session_cache_bytes",
                  "State of one session, without history that grows.",
                  static_cast<double>(memory_.session_cache_bytes),
                  {{"model", model_}});
  families->Begin("tlin_memory_bytes", "Memory by what it is for.");
  const std::pair<const char*, int64_t> pools[] = {
      {"weights", memory_.weights},
      {"vocabulary_table", memory_.vocabulary_table},
      {"session_cache", memory_.session_cache},
      {"history", memory_.history},
      {"workspace", memory_.workspace},
      {"host_tokens", state.host_token_bytes},
      {"host_states", state.host_state_bytes},
      {"prefix_cache", state.prefix_cache_bytes}};
  for (const auto& [pool, bytes] : pools) {
    families->Add(static_cast<double>(bytes),
                  {{"model", model_}, {"pool", pool}});
  }
}

void StateCollector::CollectProcess(Families* families) const {
  const DeviceMemory device = device_memory_();
  families->Begin("tlin_device_memory_bytes",
                  "Memory of the device, whoever uses it; of a CPU: RAM, or "
                  "the container's limit where that is less.");
  families->Add(static_cast<double>(device.total - device.free),
                {{"kind", "used"}});
  families->Add(static_cast<double>(device.free), {{"kind", "free"}});
  families->Add(static_cast<double>(device.total), {{"kind", "total"}});
  families->Gauge("process_resident_memory_bytes",
                  "Bytes of this process in RAM.",
                  static_cast<double>(ResidentMemoryBytes()), {});
  families->Gauge("tlin_draining", "1 while no new request is taken.",
                  listener_->draining() ? 1 : 0, {});
  families->Gauge("tlin_build_info", "1; the labels say what runs.", 1,
                  {{"version", kVersion},
                   {"device", info_.device},
                   {"dtype", info_.dtype},
                   {"architecture", info_.architecture}});
}

}  // namespace tlin
