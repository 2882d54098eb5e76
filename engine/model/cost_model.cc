#include "engine/model/cost_model.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/backend/kv_block.h"

namespace tlin {
namespace {

// FLOPs a row, by MODEL's pieces. A product with an [n, m] matrix is 2nm.
struct RowCosts {
  explicit RowCosts(const ModelConfig& config)
      : q(2.0 * config.n_embd * config.n_embd),
        kv(2 * q),
        finish(q + 6.0 * config.n_embd * config.ffn_size()),
        attend_key(4.0 * config.n_embd) {}

  double q;           // one projection of D x D
  double kv;          // two
  double finish;      // out_proj and the feed-forward network
  double attend_key;  // scores and weighted values of one key
};

}  // namespace

int64_t SlotBytes(const ModelConfig& config, DType dtype,
                  int64_t max_context_tokens) {
  if (!config.has_windows()) return 0;
  const int64_t window =
      KvBlockBytes(config.generation_window, config.n_embd, dtype);
  const int64_t history = KvBlockBytes(config.HistoryWindow(max_context_tokens),
                                       config.n_embd, dtype);
  // Every layer has a window; all but compress a compressed history.
  return config.n_block * (config.block_depth * window +
                           (config.block_depth - 1) * history) +
         CarryBytes(config, max_context_tokens);
}

int64_t CarryBytes(const ModelConfig& config, int64_t max_context_tokens) {
  if (config.architecture != Architecture::kTLinFormer) return 0;
  const int64_t query = config.n_embd + 2 * config.n_head;
  return config.HistoryWindow(max_context_tokens) * query *
         static_cast<int64_t>(sizeof(float));
}

int64_t VocabularyTableBytes(const ModelConfig& config) {
  if (!config.derived_history) return 0;
  return int64_t{config.vocab_size} * 3 * config.n_embd *
         static_cast<int64_t>(sizeof(float));
}

absl::StatusOr<bool> ChooseDerivedHistory(absl::string_view wanted,
                                          const ModelConfig& config) {
  if (wanted != "auto" && wanted != "on" && wanted != "off") {
    return absl::InvalidArgumentError(
        absl::StrCat("--derived_history=", wanted, ": want auto, on or off"));
  }
  if (wanted == "on" && !config.has_windows()) {
    return absl::InvalidArgumentError(
        "--derived_history=on: a transformer has no history to derive");
  }
  if (wanted != "auto") return wanted == "on";
  // A sync of one block is half products with the first block's weights. Of
  // more blocks they are a tenth, not worth a table that may be larger than the
  // weights; and each token of a tlinformer would turn its whole history again.
  return config.architecture == Architecture::kTConstFormer &&
         config.n_block == 1;
}

int32_t HistoryLayers(const ModelConfig& config) {
  switch (config.architecture) {
    case Architecture::kTLinFormer:
      return config.n_block - (config.derived_history ? 1 : 0);
    case Architecture::kTConstFormer:
      return 0;
    case Architecture::kTransformer:
      return config.n_layer;
  }
  return 0;
}

int64_t HistoryPageBytes(const ModelConfig& config, DType dtype) {
  return HistoryLayers(config) * KvBlockBytes(kTileRows, config.n_embd, dtype);
}

int64_t HistoryPages(const ModelConfig& config, int64_t max_tokens) {
  if (HistoryLayers(config) == 0) return 0;
  return (max_tokens + kTileRows - 1) / kTileRows;
}

int64_t SavedStateBytes(const ModelConfig& config, DType dtype,
                        int64_t history_tokens, int64_t window_tokens) {
  int64_t rows = config.layers() * window_tokens;
  if (config.has_windows()) {
    rows += (config.layers() - config.n_block) *
            config.CompressedRows(history_tokens);
    if (config.architecture == Architecture::kTLinFormer) {
      rows += HistoryLayers(config) * history_tokens;
    }
  }
  return KvRowsBytes(rows, config.n_embd, dtype);
}

int64_t WeightBytes(const ModelConfig& config, DType dtype) {
  return config.ParameterCount() * DTypeBytes(dtype);
}

double SyncFlops(const ModelConfig& config, int64_t history_tokens) {
  if (!config.has_windows() || history_tokens == 0) return 0;
  const RowCosts cost(config);
  const double history = static_cast<double>(history_tokens);
  const double queries = static_cast<double>(
      std::min(config.HistoryWindow(history_tokens), history_tokens));
  // Block b reads the history through the restore layers of the blocks before
  // it.
  const double restore_row = cost.q + queries * cost.attend_key + cost.finish;
  double flops = 0;
  const bool derived = config.derived_history;
  for (int32_t block = 0; block < config.n_block; ++block) {
    // The first block's projections are looked up.
    const double rows_before =
        block * restore_row - (derived && block > 0 ? cost.q : 0);
    const bool looked_up = derived && block == 0;
    const double read =
        rows_before + (looked_up ? 0 : cost.kv) + queries * cost.attend_key;
    flops +=
        history * read + queries * ((looked_up ? 0 : cost.q) + cost.finish);
    const double hidden =
        cost.q + cost.kv + queries * cost.attend_key + cost.finish;
    flops += (config.block_depth - 2) * queries * hidden + queries * cost.kv;
  }
  return flops;
}

double SyncAttentionFlops(const ModelConfig& config, int64_t history_tokens) {
  if (!config.has_windows() || history_tokens == 0) return 0;
  const auto history = static_cast<double>(history_tokens);
  const auto queries =
      static_cast<double>(config.CompressedRows(history_tokens));
  // Block b: the compress attention, and the restore attention of the blocks
  // before it; the hidden layers are among the queries.
  const double blocks = config.n_block;
  const double over_history = blocks + blocks * (blocks - 1) / 2;
  const double hidden = blocks * (config.block_depth - 2);
  return RowCosts(config).attend_key * queries *
         (over_history * history + hidden * queries);
}

double RowFlops(const ModelConfig& config, int64_t context_tokens) {
  const RowCosts cost(config);
  const double layers = config.layers();
  const double looked_up = config.derived_history ? cost.q + cost.kv : 0;
  const double projections = layers * (cost.q + cost.kv + cost.finish) -
                             looked_up +
                             2.0 * config.n_embd * config.vocab_size;
  const double context = static_cast<double>(context_tokens);
  if (!config.has_windows()) {
    return projections + layers * context * cost.attend_key;
  }
  const double window = std::min<double>(config.generation_window, context);
  const double history = context - window;
  const double compressed = std::min<double>(
      static_cast<double>(config.HistoryWindow(context_tokens)), history);
  double keys = layers * window + (layers - config.n_block) * compressed;
  if (config.architecture == Architecture::kTLinFormer) {
    keys += config.n_block * history;
  }
  return projections + keys * cost.attend_key;
}

}  // namespace tlin
