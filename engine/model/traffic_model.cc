#include "engine/model/traffic_model.h"

#include <algorithm>

#include "engine/model/cost_model.h"

namespace tlin {
namespace {

constexpr double kFloat = sizeof(float);

// The operations of Backend, by rows. D: n_embd, F: ffn_size, E: bytes of the
// dtype; activations are f32, the inputs of products are prepared in the dtype.
class Operations {
 public:
  Operations(const ModelConfig& config, DType dtype)
      : d_(config.n_embd),
        f_(config.ffn_size()),
        vocab_(config.vocab_size),
        heads_(config.n_head),
        element_(static_cast<double>(DTypeBytes(dtype))) {}

  Traffic Embed(double rows) const {
    return {rows * d_ * (element_ + kFloat), 0};
  }

  // LayerNorm, products, rotation.
  Traffic Project(double rows, bool q, bool kv) const {
    const double outputs = (q ? d_ : 0) + (kv ? 2 * d_ : 0);
    Traffic traffic = Norm(rows);
    if (q) traffic += Product(rows, d_, d_, /*add=*/false, /*bias=*/true);
    if (kv) traffic += Product(rows, d_, 2 * d_, false, true);
    traffic.bytes +=
        rows * outputs * kFloat +
        rows * ((q ? d_ * kFloat : 0) + (kv ? 2 * d_ * element_ : 0));
    return traffic;
  }

  Traffic Finish(double rows) const {
    Traffic traffic = {rows * d_ * (kFloat + element_), 0};  // prepared
    traffic += Product(rows, d_, d_, /*add=*/true, /*bias=*/true);
    traffic += Norm(rows);
    traffic += Product(rows, d_, 2 * f_, false, false);
    traffic += Traffic{rows * f_ * (2 * kFloat + element_), 0};  // SwiGLU
    traffic += Product(rows, f_, d_, true, false);
    return traffic;
  }

  // `parts` sequences of `rows` queries together: each sequence's queries meet
  // its `window` keys, and `history` keys in a second softmax. Blocks beside
  // each other leave partials, which a second kernel reads.
  Traffic AttendWindow(double parts, double rows, double window, double history,
                       double split_blocks) const {
    Traffic traffic = {rows * d_ * kFloat * 2 + parts * Keys(window + history),
                       rows * (window + history) * AttendFlops()};
    if (split_blocks > 0) {
      traffic.bytes += 2 * rows * split_blocks * Partial();
    } else if (history > 0) {
      traffic.bytes += rows * d_ * kFloat;  // added to
    }
    return traffic;
  }

  Traffic Attend(double rows, double keys) const {
    return {rows * d_ * kFloat * 2 + Keys(keys), rows * keys * AttendFlops()};
  }
  Traffic Accumulate(double rows, double keys) const {
    return {rows * (d_ * kFloat + 2 * Partial()) + Keys(keys),
            rows * keys * AttendFlops()};
  }
  Traffic ResetPartial(double rows) const { return {rows * Partial(), 0}; }
  Traffic FinishPartial(double rows) const {
    return {rows * (Partial() + d_ * kFloat), 0};
  }

  // The last LayerNorm, the output projection, and reading the logits.
  Traffic Sample(double rows) const {
    Traffic traffic = Norm(rows);
    traffic += Product(rows, d_, vocab_, false, false);
    traffic.bytes += rows * vocab_ * kFloat;
    return traffic;
  }

  Traffic Copy(double rows) const { return {2 * rows * d_ * kFloat, 0}; }

 private:
  Traffic Norm(double rows) const {
    return {rows * d_ * (kFloat + element_) + 2 * d_ * kFloat, 0};
  }
  // y = W x + b, or += it.
  Traffic Product(double rows, double inputs, double outputs, bool add,
                  bool bias) const {
    return {inputs * outputs * element_ + (bias ? outputs * kFloat : 0) +
                rows * (inputs * element_ + (add ? 2 : 1) * outputs * kFloat),
            2 * rows * inputs * outputs};
  }
  double Keys(double keys) const { return keys * 2 * d_ * element_; }
  double Partial() const { return (d_ + 2 * heads_) * kFloat; }
  double AttendFlops() const { return 4 * d_; }

  const double d_;
  const double f_;
  const double vocab_;
  const double heads_;
  const double element_;
};

// `parts` sequences, `rows` of each, that bring each window to
// `window` and follow `history` tokens; tokens are sampled from `sampled` rows.
Traffic RowsTraffic(const ModelConfig& config, DType dtype, double parts,
                    double rows, double window, double history,
                    double sampled) {
  const Operations ops(config, dtype);
  const double all = parts * rows;
  const double compressed =
      history > 0 ? static_cast<double>(
                        config.CompressedRows(static_cast<int64_t>(history)))
                  : 0;
  const bool grows = config.architecture == Architecture::kTLinFormer;
  Traffic traffic = ops.Embed(all);
  for (int32_t layer = 0; layer < config.layers(); ++layer) {
    double keys = 0;
    double blocks = 0;
    if (!config.has_windows()) {
      blocks = (window + kTileRows - 1) / kTileRows;
    } else if (layer % config.block_depth != 0) {
      keys = compressed;
    } else if (grows) {
      keys = history;
      blocks = 1 + static_cast<double>(
                       HistoryPages(config, static_cast<int64_t>(history)));
    }
    // Single rows only are cut by blocks.
    const double split = rows == 1 ? blocks : 0;
    traffic += ops.Project(all, /*q=*/true, /*kv=*/true);
    traffic += ops.AttendWindow(parts, all, window, keys, split);
    traffic += ops.Finish(all);
    if (layer == 0 && grows && history >= kTileRows) {
      traffic += ops.ResetPartial(all);  // carried to the next sync
    }
  }
  if (sampled > 0) traffic += ops.Sample(sampled);
  return traffic;
}

}  // namespace

double Traffic::Seconds(double bytes_per_second,
                        double flops_per_second) const {
  return std::max(bytes / bytes_per_second, flops / flops_per_second);
}

Traffic& Traffic::operator+=(const Traffic& more) {
  bytes += more.bytes;
  flops += more.flops;
  return *this;
}

Traffic DecodeTraffic(const ModelConfig& config, DType dtype, int64_t batch,
                      int64_t context_tokens) {
  const auto context = static_cast<double>(context_tokens);
  double window = context;
  if (config.has_windows()) {
    window = std::min<double>(config.generation_window, context);
  }
  const auto sequences = static_cast<double>(batch);
  return RowsTraffic(config, dtype, sequences, 1, window, context - window,
                     sequences);
}

Traffic SyncTraffic(const ModelConfig& config, DType dtype,
                    int64_t history_tokens) {
  if (!config.has_windows() || history_tokens == 0) return {};
  const Operations ops(config, dtype);
  const int64_t queries = config.CompressedRows(history_tokens);
  const auto all_queries = static_cast<double>(queries);
  const int64_t first_query = history_tokens - queries;
  // Rows of a block's input are made from the tokens, through the restore
  // layers of the blocks before it.
  const auto read = [&](double rows, int32_t block) {
    Traffic traffic = ops.Embed(rows);
    for (int32_t before = 0; before < block; ++before) {
      traffic += ops.Project(rows, /*q=*/true, /*kv=*/false);
      traffic += ops.Attend(rows, all_queries);
      traffic += ops.Finish(rows);
    }
    return traffic;
  };
  Traffic traffic;
  for (int32_t block = 0; block < config.n_block; ++block) {
    for (int64_t at = first_query; at < history_tokens;) {
      const int64_t end =
          std::min(history_tokens, (at / kTileRows + 1) * kTileRows);
      const auto rows = static_cast<double>(end - at);
      traffic += read(rows, block);
      traffic += ops.Project(rows, /*q=*/true, /*kv=*/false);
      at = end;
    }
    traffic += ops.ResetPartial(all_queries);
    for (int64_t at = 0; at < history_tokens; at += kTileRows) {
      const int64_t rows = std::min<int64_t>(kTileRows, history_tokens - at);
      const int64_t made = std::clamp<int64_t>(first_query - at, 0, rows);
      if (made > 0) traffic += read(static_cast<double>(made), block);
      if (made > 0 && made < rows) {
        traffic += ops.Copy(static_cast<double>(rows - made));
      }
      traffic += ops.Project(static_cast<double>(rows), /*q=*/false,
                             /*kv=*/true);
      traffic += ops.Accumulate(all_queries, static_cast<double>(rows));
    }
    traffic += ops.FinishPartial(all_queries);
    traffic += ops.Finish(all_queries);
    for (int32_t layer = 1; layer + 1 < config.block_depth; ++layer) {
      traffic += ops.Project(all_queries, /*q=*/true, /*kv=*/true);
      traffic += ops.Attend(all_queries, all_queries);
      traffic += ops.Finish(all_queries);
    }
    traffic += ops.Project(all_queries, /*q=*/false, /*kv=*/true);
  }
  return traffic;
}

Traffic PromptTraffic(const ModelConfig& config, DType dtype,
                      int64_t prompt_tokens) {
  int64_t history = 0;
  if (config.has_windows()) {
    const int64_t window = config.generation_window;
    history = (prompt_tokens - 1) / window * window;
  }
  Traffic traffic = SyncTraffic(config, dtype, history);
  for (int64_t at = history; at < prompt_tokens; at += kTileRows) {
    const int64_t end = std::min(prompt_tokens, at + kTileRows);
    traffic +=
        RowsTraffic(config, dtype, 1, static_cast<double>(end - at),
                    static_cast<double>(end - history),
                    static_cast<double>(history), end == prompt_tokens ? 1 : 0);
  }
  return traffic;
}

}  // namespace tlin
