// Closed forms: what a model costs in bytes and FLOPs, from its shape alone.
// TLinFormer §4 and appendix A; TConstFormer; MODEL: "What follows for an
// engine". Tests hold them against what is really allocated. Pure functions.
#ifndef TLIN_ENGINE_MODEL_COST_MODEL_H_
#define TLIN_ENGINE_MODEL_COST_MODEL_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/backend/dtype.h"
#include "engine/model/config.h"

namespace tlin {

// Rows of a tile of a sync and of a page of a growing history. Positions are
// cut at its multiples.
inline constexpr int32_t kTileRows = 256;
// Those of the first `tokens` that lie in whole tiles.
inline int64_t WholeTiles(int64_t tokens) {
  return tokens / kTileRows * kTileRows;
}

// The constant part of a session, in bytes: a slot. `max_context_tokens`
// matters to history_window "auto" alone.
int64_t SlotBytes(const ModelConfig& config, DType dtype,
                  int64_t max_context_tokens);

// What of that are the partials of the first block's compress attention, which
// a tlinformer carries from sync to sync: W_oh queries in f32.
int64_t CarryBytes(const ModelConfig& config, int64_t max_context_tokens);

// The table from which a derived history comes: q, k and v of each token before
// rotation, f32 [vocab_size, 3D]. 0 where the history is not derived.
int64_t VocabularyTableBytes(const ModelConfig& config);

// Whether a history is derived: `wanted` is --derived_history's "auto", "on" or
// "off"; auto: where tests/bench/histories found that it pays.
// INVALID_ARGUMENT for anything else, and for "on" with a transformer.
absl::StatusOr<bool> ChooseDerivedHistory(absl::string_view wanted,
                                          const ModelConfig& config);

// Blocks (or layers) whose history keys and values grow with the context and
// are stored; 0 for tconstformer.
int32_t HistoryLayers(const ModelConfig& config);
// One page, of all HistoryLayers: kTileRows tokens. 0 where there are none.
int64_t HistoryPageBytes(const ModelConfig& config, DType dtype);
// Pages of a sequence of up to `max_tokens` in all.
int64_t HistoryPages(const ModelConfig& config, int64_t max_tokens);

// A state in host memory: the rows that are filled, and nothing else.
// REQUIRES: an extent that a sequence can have (ModelRunner::StateBytes).
int64_t SavedStateBytes(const ModelConfig& config, DType dtype,
                        int64_t history_tokens, int64_t window_tokens);

// Weights as published, each once.
int64_t WeightBytes(const ModelConfig& config, DType dtype);

// A sync of `history_tokens`, the last block's restore and unused queries left
// out; and one token's row at a context of `context_tokens`, output projection
// included. Looking rows up in a vocabulary table and turning them counts
// nothing.
double SyncFlops(const ModelConfig& config, int64_t history_tokens);
// What of that is attention; the rest are matrix products.
double SyncAttentionFlops(const ModelConfig& config, int64_t history_tokens);
double RowFlops(const ModelConfig& config, int64_t context_tokens);

}  // namespace tlin

#endif  // TLIN_ENGINE_MODEL_COST_MODEL_H_
