#include "engine/load_engine.h"

#include <algorithm>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "engine/backend/factory.h"
#include "engine/base/status_macros.h"
#include "engine/model/cost_model.h"
#include "engine/model/memory_plan.h"
#include "engine/model/model.h"
#include "engine/model/safetensors.h"
#include "engine/model/weights.h"

namespace tlin {
namespace {

constexpr int64_t kConstantContext = int64_t{1} << 20;
constexpr int64_t kGrowingContext = int64_t{1} << 17;
constexpr int64_t kHistoryTokensPerSlot = 8192;
// Positions are 32-bit, and exact in f32 up to here.
constexpr int64_t kMaxContext = int64_t{1} << 24;
constexpr int32_t kMostSlots = 4096;
constexpr int32_t kCpuSlots = 16;
// What the driver takes of a GPU's memory for graphs, and by rounding up.
constexpr int64_t kGpuReserve = int64_t{512} << 20;

// All but `slots`, which is what history_tokens follows from.
ModelOptions MakeModelOptions(const ModelConfig& config,
                              const LoadOptions& options, int32_t slots) {
  const bool grows = HistoryLayers(config) > 0;
  ModelOptions model;
  model.slots = slots;
  model.max_syncs = options.max_syncs;
  model.max_context_tokens = options.max_context_tokens;
  if (model.max_context_tokens == 0) {
    model.max_context_tokens = grows ? kGrowingContext : kConstantContext;
  }
  model.history_tokens = options.history_tokens;
  if (model.history_tokens == 0) {
    model.history_tokens =
        std::max(model.max_context_tokens, slots * kHistoryTokensPerSlot);
  }
  return model;
}

absl::Status CheckRanges(const LoadOptions& options) {
  if (options.slots < 0 || options.slots > kMostSlots) {
    return absl::InvalidArgumentError(
        absl::StrCat("--slots=", options.slots, ": want 0 to ", kMostSlots));
  }
  if (options.max_context_tokens < 0 ||
      options.max_context_tokens > kMaxContext) {
    return absl::InvalidArgumentError(
        absl::StrCat("--max_context_tokens=", options.max_context_tokens,
                     ": want 1 to ", kMaxContext));
  }
  return absl::OkStatus();
}

// The most slots, 1 to `most`, that fit; 1 where none do. More never take less.
int32_t MostThatFit(int32_t most, absl::FunctionRef<bool(int32_t)> fits) {
  int32_t slots = 1;
  while (slots < most) {
    const int32_t more = slots + (most - slots + 1) / 2;
    if (fits(more)) {
      slots = more;
    } else {
      most = more - 1;
    }
  }
  return slots;
}

// With the slots that are asked for, or as many as fit; RESOURCE_EXHAUSTED has
// the arithmetic.
absl::StatusOr<ModelOptions> PlanModel(const ModelConfig& config,
                                       const LoadOptions& options,
                                       const Device& device) {
  const int64_t free_bytes = device.free_bytes() > 0
                                 ? device.free_bytes() - kGpuReserve
                                 : options.free_memory_bytes;
  const auto plan = [&](int32_t slots) {
    const ModelOptions model = MakeModelOptions(config, options, slots);
    return PlanMemory(config, model, device.dtype(),
                      device.WorkspaceBytes(MakeBackendShape(config, model)));
  };
  const auto fits = [&](int32_t slots) {
    return free_bytes == 0 || plan(slots).total() <= free_bytes;
  };
  int32_t slots = options.slots;
  if (slots == 0) {
    const int32_t most = std::clamp(options.most_slots, 1, kMostSlots);
    slots =
        device.is_gpu() ? MostThatFit(most, fits) : std::min(kCpuSlots, most);
  }
  if (!fits(slots)) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "--slots, --history_tokens, --derived_history: ", plan(slots).Text(),
        ", more than the ", free_bytes, " bytes of memory that are free"));
  }
  return MakeModelOptions(config, options, slots);
}

absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizer(
    const ModelConfig& config, const std::string& path) {
  auto tokenizer = Tokenizer::Load(path);
  if (absl::IsNotFound(tokenizer.status())) return std::unique_ptr<Tokenizer>();
  if (!tokenizer.ok()) return tokenizer.status();
  if ((*tokenizer)->vocab_size() > config.vocab_size) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": has ", (*tokenizer)->vocab_size(),
                     " tokens: the model's vocab_size is ", config.vocab_size));
  }
  return tokenizer;
}

}  // namespace

absl::StatusOr<LoadedModel> LoadModel(const LoadOptions& options) {
  const std::string& directory = options.model_directory;
  LoadedModel loaded;
  TLIN_ASSIGN_OR_RETURN(loaded.config,
                        LoadModelConfig(directory + "/config.json"));
  TLIN_ASSIGN_OR_RETURN(
      loaded.config.derived_history,
      ChooseDerivedHistory(options.derived_history, loaded.config));
  TLIN_ASSIGN_OR_RETURN(
      loaded.tokenizer,
      LoadTokenizer(loaded.config, directory + "/tokenizer.json"));
  TLIN_RETURN_IF_ERROR(CheckRanges(options));
  const std::string weights_path = directory + "/model.safetensors";
  TLIN_ASSIGN_OR_RETURN(std::unique_ptr<SafetensorsFile> file,
                        SafetensorsFile::Open(weights_path));
  // Before anything is allocated by the config's numbers.
  TLIN_RETURN_IF_ERROR(
      CheckTensors(loaded.config, file->tensors(), weights_path));
  TLIN_ASSIGN_OR_RETURN(const Device device,
                        ChooseDevice(options.device, options.dtype,
                                     BackendOptions{options.threads}));
  loaded.why_cpu = device.why_cpu();
  TLIN_ASSIGN_OR_RETURN(const ModelOptions model_options,
                        PlanModel(loaded.config, options, device));
  TLIN_ASSIGN_OR_RETURN(
      std::unique_ptr<Backend> backend,
      device.Make(MakeBackendShape(loaded.config, model_options)));
  // Let go tensor by tensor: weights are never in memory twice.
  TLIN_ASSIGN_OR_RETURN(
      ModelWeights weights,
      MakeWeights(loaded.config, file->tensors(), weights_path, backend.get(),
                  [&file](const HostTensor& tensor) { file->Drop(tensor); }));
  file.reset();
  TLIN_ASSIGN_OR_RETURN(loaded.model,
                        Model::Create(loaded.config, model_options,
                                      std::move(weights), std::move(backend)));
  return loaded;
}

}  // namespace tlin
