#include "engine/model/memory_plan.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/backend/kv_block.h"
#include "engine/model/cost_model.h"

namespace tlin {
namespace {

constexpr int64_t kFloatBytes = sizeof(float);

// Matrices in the dtype, rows from multiples of 16 bytes on; vectors in f32.
int64_t DeviceWeightBytes(const ModelConfig& config, DType dtype) {
  const auto matrix = [dtype](int64_t rows, int64_t cols) {
    return rows * ((cols * DTypeBytes(dtype) + 15) / 16 * 16);
  };
  const int64_t d = config.n_embd;
  const int64_t f = config.ffn_size();
  const int64_t layer = matrix(4 * d, d) + matrix(2 * f, d) + matrix(d, f) +
                        (4 * d + 4 * d) * kFloatBytes;  // biases and norms
  return matrix(config.vocab_size, d) + config.layers() * layer +
         2 * d * kFloatBytes;
}

// Of Model's own, as its AllocateWorkspace.
int64_t ModelWorkspaceBytes(const ModelConfig& config,
                            const ModelOptions& options, DType dtype) {
  const int64_t row = config.n_embd * kFloatBytes;
  const int64_t partial = row + 2 * config.n_head * kFloatBytes;
  const int64_t tile = KvBlockBytes(kTileRows, config.n_embd, dtype);
  const int64_t rows = MakeBackendShape(config, options).max_rows;
  int64_t bytes = 3 * rows * row + tile;
  if (config.has_windows()) {
    const int64_t queries =
        std::max<int64_t>(1, config.HistoryWindow(options.max_context_tokens));
    bytes += 3 * rows * row + options.max_syncs * queries * (2 * row + partial);
  }
  if (config.derived_history &&
      config.architecture == Architecture::kTLinFormer) {
    bytes += tile + kTileRows * partial;
  }
  return bytes;
}

}  // namespace

std::string MemoryPlan::Text() const {
  std::string text = absl::StrCat("weights ", weights);
  if (vocabulary_table > 0) {
    absl::StrAppend(&text, " + vocabulary table ", vocabulary_table);
  }
  absl::StrAppend(&text, " + ", slots, " slots of ", slot_bytes);
  if (history > 0) absl::StrAppend(&text, " + history ", history);
  absl::StrAppend(&text, " + workspace ", workspace, " = ", total(), " bytes");
  return text;
}

MemoryPlan PlanMemory(const ModelConfig& config, const ModelOptions& options,
                      DType dtype, int64_t backend_workspace) {
  MemoryPlan plan;
  plan.weights = DeviceWeightBytes(config, dtype);
  plan.vocabulary_table = VocabularyTableBytes(config);
  plan.slots = options.slots;
  plan.slot_bytes = SlotBytes(config, dtype, options.max_context_tokens);
  plan.history = HistoryPages(config, options.history_tokens) *
                 HistoryPageBytes(config, dtype);
  plan.workspace =
      ModelWorkspaceBytes(config, options, dtype) + backend_workspace;
  return plan;
}

}  // namespace tlin
