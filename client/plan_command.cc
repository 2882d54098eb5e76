// tlin plan: what a model will take, from its shape alone; where a server is
// named, in its machine's seconds, too.
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/command_support.h"
#include "client/event_json.h"
#include "client/exit_code.h"
#include "client/plan_device.h"
#include "engine/backend/dtype.h"
#include "engine/model/config.h"
#include "engine/model/cost_model.h"
#include "nlohmann/json.hpp"

namespace tlin::client {
namespace {

constexpr char kPlanAbout[] =
    "Memory and work of the model in --model=DIR (its config.json is enough), "
    "by closed forms:\nbytes of a session and sessions in a GiB at each "
    "context "
    "length, work of a token, of a\nsync, and of a token with its share of the "
    "syncs. A multiply and an add are 2 FLOP. With --address: what they take "
    "on the machine\nof that tlind, which has measured its steps. With "
    "--device: what a GPU takes at best for\nsteps, syncs and prompts.\n";

constexpr int64_t kGiB = int64_t{1} << 30;

struct ContextCost {
  int64_t tokens = 0;
  int64_t session_bytes = 0;  // slot and history pages, on the device
  int64_t sessions_per_gib = 0;
  double token_flop = 0;       // one more token
  double sync_flop = 0;        // a sync of all of them
  double mean_token_flop = 0;  // token_flop and a window's share of sync_flop
  // On the machine that was asked; 0: none was.
  double token_seconds = 0;  // of one sequence alone
  double sync_seconds = 0;
};

ContextCost CostAt(const ModelConfig& config, DType dtype, int64_t tokens) {
  ContextCost cost;
  cost.tokens = tokens;
  cost.session_bytes =
      SlotBytes(config, dtype, tokens) +
      HistoryPages(config, tokens) * HistoryPageBytes(config, dtype);
  cost.sessions_per_gib = kGiB / cost.session_bytes;
  cost.token_flop = RowFlops(config, tokens);
  cost.mean_token_flop = cost.token_flop;
  if (config.has_windows()) {
    cost.sync_flop = SyncFlops(config, tokens);
    cost.mean_token_flop += cost.sync_flop / config.generation_window;
  }
  return cost;
}

void AddSeconds(const ModelConfig& config, const v1::StepCosts& machine,
                ContextCost* cost) {
  constexpr double kGiga = 1e9;
  const double attention = SyncAttentionFlops(config, cost->tokens);
  cost->token_seconds =
      machine.decode_step() + machine.decode_gflop() * cost->token_flop / kGiga;
  if (!config.has_windows()) return;
  cost->sync_seconds =
      (machine.sync_product_gflop() * (cost->sync_flop - attention) +
       machine.sync_attention_gflop() * attention) /
      kGiga;
}

nlohmann::ordered_json PlanJson(const ModelConfig& config, DType dtype,
                                const std::vector<ContextCost>& costs) {
  nlohmann::ordered_json json = {
      {"architecture", ArchitectureName(config.architecture)},
      {"parameters", config.ParameterCount()},
      {"dtype", DTypeName(dtype)},
      {"weight_bytes", WeightBytes(config, dtype)},
      {"vocabulary_table_bytes", VocabularyTableBytes(config)},
      {"contexts", nlohmann::ordered_json::array()}};
  for (const ContextCost& cost : costs) {
    json["contexts"].push_back({{"context_tokens", cost.tokens},
                                {"session_bytes", cost.session_bytes},
                                {"sessions_per_gib", cost.sessions_per_gib},
                                {"token_flop", cost.token_flop},
                                {"sync_flop", cost.sync_flop},
                                {"mean_token_flop", cost.mean_token_flop}});
    if (cost.token_seconds == 0) continue;
    json["contexts"].back()["token_seconds"] = cost.token_seconds;
    json["contexts"].back()["sync_seconds"] = cost.sync_seconds;
  }
  return json;
}

void PrintPlan(const ModelConfig& config, DType dtype,
               const std::vector<ContextCost>& costs, std::ostream& out) {
  const bool measured = costs.front().token_seconds > 0;
  out << absl::StrFormat(
      "%s, %d parameters, weights %.1f MiB as %s%s\n\n",
      ArchitectureName(config.architecture), config.ParameterCount(),
      WeightBytes(config, dtype) / 1048576.0, DTypeName(dtype),
      config.derived_history
          ? absl::StrFormat(", vocabulary table %.1f MiB",
                            VocabularyTableBytes(config) / 1048576.0)
          : "");
  out << absl::StrFormat("%12s %15s %13s %12s %12s %16s%s\n", "context",
                         "bytes/session", "sessions/GiB", "MFLOP/token",
                         "MFLOP/sync", "MFLOP/token,mean",
                         measured ? "   ms/token      s/sync" : "");
  for (const ContextCost& cost : costs) {
    out << absl::StrFormat("%12d %15d %13d %12.1f %12.0f %16.1f", cost.tokens,
                           cost.session_bytes, cost.sessions_per_gib,
                           cost.token_flop / 1e6, cost.sync_flop / 1e6,
                           cost.mean_token_flop / 1e6);
    if (measured) {
      out << absl::StrFormat(" %10.3f %11.4f", 1e3 * cost.token_seconds,
                             cost.sync_seconds);
    }
    out << "\n";
  }
  if (config.has_windows()) {
    out << absl::StrFormat(
        "\nA session syncs every %d tokens. Each token also takes 4 B of host "
        "memory.\n",
        config.generation_window);
  }
}

}  // namespace

int RunPlan(const Args& args, Io& io) {
  std::string model;
  std::string dtype_name = "bf16";
  std::string derived_history = "auto";
  std::vector<int32_t> contexts;
  bool json = false;
  ConnectionFlags server;
  std::string device_name;
  std::vector<int32_t> batches;
  FlagSet flags("tlin plan --model=DIR [flags]", kPlanAbout);
  flags.Add("model", &model, "The model's directory.");
  flags.Add("dtype", &dtype_name, "Of weights and caches: f32, bf16 or f16.");
  flags.Add("derived_history", &derived_history,
            "As tlind's flag: auto, on or off.");
  flags.Add("contexts", &contexts,
            "Context lengths in tokens; default 1024,4096,16384,65536,262144,"
            "1048576.");
  flags.Add("device", &device_name,
            absl::StrCat("A GPU, ", PlanDeviceNames(),
                         ": what its data sheet allows, beside a paged "
                         "transformer."));
  flags.Add("batches", &batches,
            "Sequences of a decode step on it; default 1,16,64,256.");
  flags.Add("json", &json, "Print JSON.");
  server.AddOptionalTo(
      &flags, "A tlind that serves this model: its machine's times, too.");
  if (const auto exit = ParseOnlyFlags(args, &flags, io)) return *exit;
  if (model.empty()) return UsageError("--model: a directory is needed", io);
  DType dtype = DType::kF32;
  for (DType candidate : {DType::kBF16, DType::kF16}) {
    if (dtype_name == DTypeName(candidate)) dtype = candidate;
  }
  if (dtype_name != DTypeName(dtype)) {
    return UsageError(
        absl::StrCat("--dtype: want f32, bf16 or f16, not '", dtype_name, "'"),
        io);
  }
  if (contexts.empty()) {
    contexts = {1024, 4096, 16384, 65536, 262144, 1048576};
  }

  auto config = LoadModelConfig(absl::StrCat(
      model, absl::EndsWith(model, "/") ? "" : "/", "config.json"));
  if (!config.ok()) return UsageError(config.status().message(), io);
  const auto derived = ChooseDerivedHistory(derived_history, *config);
  if (!derived.ok()) return UsageError(derived.status().message(), io);
  config->derived_history = *derived;
  std::vector<ContextCost> costs;
  for (int32_t tokens : contexts) {
    if (tokens < 1) {
      return UsageError(absl::StrCat("--contexts: ", tokens, " is below 1"),
                        io);
    }
    costs.push_back(CostAt(*config, dtype, tokens));
  }
  const PlanDevice* const device = FindPlanDevice(device_name);
  if (device == nullptr && !device_name.empty()) {
    return UsageError(absl::StrCat("--device: want one of ", PlanDeviceNames(),
                                   ", not '", device_name, "'"),
                      io);
  }
  if (batches.empty()) batches = {1, 16, 64, 256};
  for (const int32_t batch : batches) {
    if (batch < 1) {
      return UsageError(absl::StrCat("--batches: ", batch, " is below 1"), io);
    }
  }
  const PlanRequest request = {*config, dtype, contexts, batches};
  if (!server.connection().address.empty()) {
    const auto served = Client(server.connection()).GetModel();
    if (!served.ok()) return Fail(served.status(), json, io);
    if (served->parameters() != config->ParameterCount() ||
        served->architecture() != ArchitectureName(config->architecture)) {
      return UsageError(
          absl::StrCat("--address: it serves another model, ", served->name()),
          io);
    }
    for (ContextCost& cost : costs) {
      AddSeconds(*config, served->step_costs(), &cost);
    }
  }
  if (json) {
    nlohmann::ordered_json plan = PlanJson(*config, dtype, costs);
    if (device != nullptr) plan["device"] = DevicePlanJson(*device, request);
    io.out << OneLine(plan) << "\n";
  } else {
    PrintPlan(*config, dtype, costs, io.out);
    if (device != nullptr) PrintDevicePlan(*device, request, io.out);
  }
  return Done(io);
}

}  // namespace tlin::client
