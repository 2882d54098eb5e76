#include "client/plan_device.h"

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "engine/model/cost_model.h"
#include "engine/model/traffic_model.h"

namespace tlin::client {
namespace {

// NVIDIA's data sheets: memory's GB/s, dense TFLOP/s in bf16 and f32, GB.
constexpr PlanDevice kDevices[] = {
    {"a100", 2039e9, 312e12, 19.5e12, 80e9},
    {"b200", 8000e9, 2250e12, 75e12, 180e9},
    {"h100", 3350e9, 989e12, 67e12, 80e9},
    {"h200", 4800e9, 989e12, 67e12, 141e9},
    {"l4", 300e9, 121e12, 30.3e12, 24e9},
    {"rtx4090", 1008e9, 165e12, 82.6e12, 24e9},
};

// Of the device's memory, for what is neither weights nor sessions.
constexpr double kWorkspaceBytes = 1 << 30;

ModelConfig PagedTransformer(const ModelConfig& config) {
  ModelConfig paged;
  paged.architecture = Architecture::kTransformer;
  paged.vocab_size = config.vocab_size;
  paged.n_embd = config.n_embd;
  paged.n_head = config.n_head;
  paged.n_layer = config.layers();
  return paged;
}

// A model on a device.
class Estimate {
 public:
  Estimate(const PlanDevice& device, const ModelConfig& config, DType dtype)
      : device_(device), config_(config), dtype_(dtype) {}

  int64_t Sessions(int64_t context) const {
    const double session = static_cast<double>(
        SlotBytes(config_, dtype_, context) +
        HistoryPages(config_, context) * HistoryPageBytes(config_, dtype_));
    const double room = device_.memory_bytes - kWorkspaceBytes -
                        static_cast<double>(WeightBytes(config_, dtype_) +
                                            VocabularyTableBytes(config_));
    return room <= 0 ? 0 : static_cast<int64_t>(room / session);
  }
  Traffic Decode(int64_t batch, int64_t context) const {
    return DecodeTraffic(config_, dtype_, batch, context);
  }
  Traffic Sync(int64_t context) const {
    return SyncTraffic(config_, dtype_, context);
  }
  Traffic Prompt(int64_t context) const {
    return PromptTraffic(config_, dtype_, context);
  }
  // Of a sync, seconds for each token.
  double SyncShare(int64_t context) const {
    if (!config_.has_windows()) return 0;
    return Seconds(Sync(context)) / config_.generation_window;
  }
  double Seconds(const Traffic& traffic) const {
    return traffic.Seconds(device_.bytes_per_second,
                           dtype_ == DType::kF32
                               ? device_.f32_flops_per_second
                               : device_.bf16_flops_per_second);
  }

 private:
  const PlanDevice& device_;
  const ModelConfig config_;
  const DType dtype_;
};

nlohmann::ordered_json EstimateJson(const Estimate& estimate,
                                    const Traffic& traffic) {
  return {{"bytes", traffic.bytes},
          {"flop", traffic.flops},
          {"seconds", estimate.Seconds(traffic)}};
}

nlohmann::ordered_json EstimateJson(const Estimate& estimate,
                                    const PlanRequest& request) {
  nlohmann::ordered_json decode = nlohmann::ordered_json::array();
  nlohmann::ordered_json contexts = nlohmann::ordered_json::array();
  for (const int32_t context : request.contexts) {
    contexts.push_back(
        {{"context_tokens", context},
         {"sessions", estimate.Sessions(context)},
         {"sync", EstimateJson(estimate, estimate.Sync(context))},
         {"prompt", EstimateJson(estimate, estimate.Prompt(context))}});
    for (const int32_t batch : request.batches) {
      nlohmann::ordered_json step =
          EstimateJson(estimate, estimate.Decode(batch, context));
      step["batch"] = batch;
      step["context_tokens"] = context;
      step["seconds_with_syncs"] =
          step["seconds"].get<double>() + batch * estimate.SyncShare(context);
      step["fits"] = batch <= estimate.Sessions(context);
      decode.push_back(std::move(step));
    }
  }
  return {{"decode", std::move(decode)}, {"contexts", std::move(contexts)}};
}

}  // namespace

const PlanDevice* FindPlanDevice(absl::string_view name) {
  for (const PlanDevice& device : kDevices) {
    if (name == device.name) return &device;
  }
  return nullptr;
}

std::string PlanDeviceNames() {
  return absl::StrJoin(kDevices, ", ",
                       [](std::string* out, const PlanDevice& device) {
                         out->append(device.name);
                       });
}

nlohmann::ordered_json DevicePlanJson(const PlanDevice& device,
                                      const PlanRequest& request) {
  nlohmann::ordered_json json = {
      {"name", device.name},
      {"bytes_per_second", device.bytes_per_second},
      {"flop_per_second", request.dtype == DType::kF32
                              ? device.f32_flops_per_second
                              : device.bf16_flops_per_second},
      {"memory_bytes", device.memory_bytes},
      {"model",
       EstimateJson(Estimate(device, request.config, request.dtype), request)},
  };
  json["paged_transformer"] = EstimateJson(
      Estimate(device, PagedTransformer(request.config), request.dtype),
      request);
  return json;
}

void PrintDevicePlan(const PlanDevice& device, const PlanRequest& request,
                     std::ostream& out) {
  const Estimate model(device, request.config, request.dtype);
  const Estimate paged(device, PagedTransformer(request.config), request.dtype);
  out << absl::StrFormat(
      "\n%s by its data sheet: %.0f GB/s, %.0f TFLOP/s, %.0f GB. At best, by "
      "what memory and arithmetic\nallow; nothing is measured. Beside it, in "
      "brackets, a transformer of the same width and depth\nwith a paged "
      "cache.\n\n",
      device.name, device.bytes_per_second / 1e9,
      (request.dtype == DType::kF32 ? device.f32_flops_per_second
                                    : device.bf16_flops_per_second) /
          1e12,
      device.memory_bytes / 1e9);
  out << absl::StrFormat("%9s %20s %11s %12s %9s %20s\n", "context", "sessions",
                         "MB/sync", "GFLOP/sync", "ms/sync", "ms/prompt");
  for (const int32_t context : request.contexts) {
    const Traffic sync = model.Sync(context);
    out << absl::StrFormat("%9d %9d (%8d) %11.0f %12.1f %9.2f %9.2f (%8.2f)\n",
                           context, model.Sessions(context),
                           paged.Sessions(context), sync.bytes / 1e6,
                           sync.flops / 1e9, 1e3 * model.Seconds(sync),
                           1e3 * model.Seconds(model.Prompt(context)),
                           1e3 * paged.Seconds(paged.Prompt(context)));
  }
  out << absl::StrFormat("\n%9s %6s %20s %11s %21s %20s %17s\n", "context",
                         "batch", "MB/step", "GFLOP/step", "us/step", "tok/s",
                         "tok/s with syncs");
  for (const int32_t context : request.contexts) {
    for (const int32_t batch : request.batches) {
      const Traffic step = model.Decode(batch, context);
      const Traffic other = paged.Decode(batch, context);
      const auto shown = [&](const Estimate& estimate, int digits,
                             double value) {
        return batch <= estimate.Sessions(context)
                   ? absl::StrFormat("%.*f", digits, value)
                   : "no room";
      };
      const double seconds = model.Seconds(step);
      const double other_seconds = paged.Seconds(other);
      out << absl::StrFormat(
          "%9d %6d %9s (%8s) %11s %10s (%8s) %9s (%8s) %17s\n", context, batch,
          shown(model, 1, step.bytes / 1e6), shown(paged, 1, other.bytes / 1e6),
          shown(model, 1, step.flops / 1e9), shown(model, 1, 1e6 * seconds),
          shown(paged, 1, 1e6 * other_seconds),
          shown(model, 0, batch / seconds),
          shown(paged, 0, batch / other_seconds),
          shown(model, 0,
                batch / (seconds + batch * model.SyncShare(context))));
    }
  }
}

}  // namespace tlin::client
