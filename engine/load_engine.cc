#include "engine/load_engine.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/backend/factory.h"
#include "engine/base/status_macros.h"
#include "engine/model/cost_model.h"
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

absl::StatusOr<ModelOptions> MakeModelOptions(const ModelConfig& config,
                                              const LoadOptions& options) {
  if (options.slots < 1 || options.slots > 4096) {
    return absl::InvalidArgumentError(
        absl::StrCat("--slots=", options.slots, ": want 1 to 4096"));
  }
  if (options.max_context_tokens < 0 ||
      options.max_context_tokens > kMaxContext) {
    return absl::InvalidArgumentError(
        absl::StrCat("--max_context_tokens=", options.max_context_tokens,
                     ": want 1 to ", kMaxContext));
  }
  const bool grows = HistoryLayers(config) > 0;
  ModelOptions model;
  model.slots = options.slots;
  model.max_syncs = options.max_syncs;
  model.max_context_tokens = options.max_context_tokens;
  if (model.max_context_tokens == 0) {
    model.max_context_tokens = grows ? kGrowingContext : kConstantContext;
  }
  model.history_tokens = options.history_tokens;
  if (model.history_tokens == 0) {
    model.history_tokens = std::max(model.max_context_tokens,
                                    options.slots * kHistoryTokensPerSlot);
  }
  return model;
}

absl::Status CheckMemory(const ModelConfig& config, const ModelOptions& model,
                         DType dtype, int64_t free_bytes) {
  const int64_t weights =
      WeightBytes(config, dtype) + VocabularyTableBytes(config);
  const int64_t slot = SlotBytes(config, dtype, model.max_context_tokens);
  const int64_t history = HistoryPages(config, model.history_tokens) *
                          HistoryPageBytes(config, dtype);
  if (free_bytes == 0 || weights + model.slots * slot + history <= free_bytes) {
    return absl::OkStatus();
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("--slots, --history_tokens, --derived_history: weights of ",
                   weights, " bytes, ", model.slots, " slots of ", slot,
                   " and a history of ", history, " are more than the ",
                   free_bytes, " bytes of memory that are free"));
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
  TLIN_ASSIGN_OR_RETURN(const ModelOptions model_options,
                        MakeModelOptions(loaded.config, options));
  const std::string weights_path = directory + "/model.safetensors";
  TLIN_ASSIGN_OR_RETURN(std::unique_ptr<SafetensorsFile> file,
                        SafetensorsFile::Open(weights_path));
  // Before anything is allocated by the config's numbers.
  TLIN_RETURN_IF_ERROR(
      CheckTensors(loaded.config, file->tensors(), weights_path));
  TLIN_ASSIGN_OR_RETURN(
      MadeBackend made,
      MakeBackend(options.device, options.dtype,
                  MakeBackendShape(loaded.config, model_options),
                  BackendOptions{options.threads}));
  loaded.why_cpu = std::move(made.why_cpu);
  std::unique_ptr<Backend> backend = std::move(made.backend);
  const int64_t free_bytes = backend->free_bytes() > 0
                                 ? backend->free_bytes()
                                 : options.free_memory_bytes;
  TLIN_RETURN_IF_ERROR(
      CheckMemory(loaded.config, model_options, backend->dtype(), free_bytes));
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
