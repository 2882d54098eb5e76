// The forward pass and the sync, once, over Backend. MODEL: "One block".
#ifndef TLIN_ENGINE_MODEL_MODEL_H_
#define TLIN_ENGINE_MODEL_MODEL_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/backend/backend.h"
#include "engine/model/config.h"
#include "engine/model/state_cache.h"
#include "engine/model/sync_job.h"
#include "engine/model/weights.h"
#include "engine/model_runner.h"

namespace tlin {

struct ModelOptions {
  int32_t slots = 16;
  int64_t max_context_tokens = 0;  // of one sequence
  int64_t history_tokens = 0;      // of all sequences, where histories grow
  int32_t max_syncs = 4;           // in flight, each with its workspace
};

// The shape that a backend for this model needs.
BackendShape MakeBackendShape(const ModelConfig& config,
                              const ModelOptions& options);

// Engine thread only. Allocates nothing after Create but bookkeeping at Open.
class Model final : public ModelRunner {
 public:
  // REQUIRES: `backend` was made for MakeBackendShape(config, options);
  // `weights` by it. INVALID_ARGUMENT names an option out of range,
  // RESOURCE_EXHAUSTED when the device has no room.
  static absl::StatusOr<std::unique_ptr<Model>> Create(
      const ModelConfig& config, const ModelOptions& options,
      ModelWeights weights, std::unique_ptr<Backend> backend);

  const ModelInfo& info() const override { return info_; }
  ModelMemory memory() const override;
  bool CanOpen(int64_t max_tokens,
               absl::Span<const SlotId> closed = {}) const override;
  bool CouldEverOpen(int64_t max_tokens) const override;
  void Open(SlotId slot, int64_t max_tokens) override;
  void Resize(SlotId slot, int64_t max_tokens) override;
  void Close(SlotId slot) override;
  StateExtent Extent(SlotId slot) const override;
  absl::StatusOr<int64_t> StateBytes(const StateExtent& extent) const override;
  absl::Status SaveState(SlotId slot, absl::Span<std::byte> state) override;
  absl::Status LoadState(SlotId slot, const StateExtent& extent,
                         absl::Span<const std::byte> state) override;
  void BeginSync(SlotId slot, absl::Span<const TokenId> history) override;
  SyncWork SyncWorkLeft(SlotId slot) const override;
  int32_t syncs_in_flight() const override;
  SyncWork SyncWorkOf(int64_t history_tokens) const override;
  int64_t RowUnits(int64_t context_tokens) const override;
  absl::Status Run(const StepPlan& plan, StepOutput* output) override;

 private:
  // What a sync needs while it runs; it does not grow with the history.
  struct SyncWorkspace {
    std::unique_ptr<DeviceBuffer> queries;  // f32 [W_oh, D]
    std::unique_ptr<DeviceBuffer> rows;     // Z: f32 [W_oh, D]
    std::unique_ptr<DeviceBuffer> partial;  // of W_oh queries
    bool in_use = false;
  };

  struct Slot {
    bool open = false;
    int64_t history_tokens = 0;   // L
    int32_t compressed_rows = 0;  // of each compressed history
    int32_t window_tokens = 0;
    // tlinformer: the first block's keys of so many tokens are in its pages.
    // They depend on the token and its position alone: later syncs keep them.
    int64_t kept_tokens = 0;
    // tlinformer: the cache's carry has the partials of all positions from here
    // on, over the history's whole tiles. Beyond the window: of none.
    int64_t carried_from = 0;
    std::optional<SyncJob> sync;
    absl::Span<const TokenId> sync_tokens;
    int32_t sync_workspace = -1;
  };

  Model(const ModelConfig& config, const ModelOptions& options,
        ModelWeights weights, std::unique_ptr<Backend> backend);
  absl::Status AllocateWorkspace();
  // REQUIRES: the workspace is there.
  absl::Status MakeVocabularyTable();

  // forward.cc
  // The samples of the parts that want a token are the first of `samples`.
  void RunWindowRows(absl::Span<const WindowRows> parts,
                     absl::Span<const SampleRow> samples, StepOutput* output);
  // Writes positions_ and the parts' token ids; advances their windows.
  int32_t PlaceRows(absl::Span<const WindowRows> parts);
  // Points kv_rows_ and window_parts_ at layer `layer` of the parts' slots.
  void PlaceLayer(absl::Span<const WindowRows> parts, int32_t layer);
  void PlaceWindow(const WindowRows& part, int32_t layer, int32_t first_row,
                   size_t index);
  // Of the rows in sample_rows_ and in logit_rows_: their tokens, their logits.
  void Sample(Rows x, absl::Span<const SampleRow> samples, StepOutput* output);
  void ReadLogits(Rows x, LogitRows* logits);
  // The parts are what Backend::BeginDecode is for.
  bool IsDecodeStep(absl::Span<const WindowRows> parts) const;
  // q, k and v of the rows placed at layer `layer`.
  void ProjectRows(int32_t layer, Rows x, Rows q);
  // Adds the first layer's attention to a history that is not stored.
  void AttendDerivedHistory(const WindowRows& part, int32_t first_row, Rows q,
                            Rows attended);

  // state_transfer.cc
  // visit(block) for all that a slot of this extent holds, in order of the
  // bytes of a state.
  template <class Visit>
  void ForEachBlock(SlotId slot, const StateExtent& extent, const Visit& visit);

  // How many tokens of the history the carried partials of a sync's queries
  // have met, or 0.
  int64_t CarriedTokens(const Slot& slot, int64_t history_tokens) const;
  // After a tile of the first block's stream: keeps what is to be carried.
  void CarryPartials(const Slot& slot, SlotId id);

  // sync.cc
  // The first block's keys and values of a tile, looked up.
  void LookUpTile(absl::Span<const TokenId> history, int64_t position,
                  const KvBlock& tile);
  void RunSlice(const SyncSlice& slice, const SyncPrices& prices);
  void RunSyncStep(Slot* slot, SlotId id);
  // Rows of block `block`'s input at `position`, recomputed from the tokens.
  void ReadHistory(const Slot& slot, SlotId id, int32_t block, int64_t position,
                   Rows x);
  // The present tile's rows of its block's input, read or already in the
  // workspace.
  Rows ReadTile(const Slot& slot, SlotId id);
  void RunSyncLayer(const Slot& slot, SlotId id, const SyncStep& step);
  absl::Span<const KvRow> RowsOfBlock(const KvBlock& block, int32_t rows);
  absl::Span<const int32_t> PositionsFrom(int64_t position, int32_t rows);

  const LayerWeights& layer(int32_t block, int32_t layer) const {
    return weights_.layers[block * config_.block_depth + layer];
  }
  const float* table() const {
    return reinterpret_cast<const float*>(table_->data());
  }
  // Index of a block's compress layer among those whose history is stored.
  int32_t GrowingLayer(int32_t block) const {
    return block - (config_.derived_history ? 1 : 0);
  }
  int64_t RowsBytes(int64_t rows) const {
    return rows * config_.n_embd * static_cast<int64_t>(sizeof(float));
  }
  Rows RowsOf(const std::unique_ptr<DeviceBuffer>& buffer, int32_t rows) const {
    return {reinterpret_cast<float*>(buffer->data()), rows};
  }

  // Constant after Create.
  const ModelConfig config_;
  const ModelOptions options_;
  const std::unique_ptr<Backend> backend_;
  const ModelWeights weights_;
  ModelInfo info_;

  std::unique_ptr<StateCache> cache_;
  std::vector<Slot> slots_;
  std::vector<SyncWorkspace> sync_workspaces_;

  // Of the rows of one call, [max_rows] each.
  std::unique_ptr<DeviceBuffer> x_;         // f32 [max_rows, D]
  std::unique_ptr<DeviceBuffer> q_;         // f32 [max_rows, D]
  std::unique_ptr<DeviceBuffer> attended_;  // f32 [max_rows, D]
  // The same of one step of a sync, which runs beside them, and its tile.
  std::unique_ptr<DeviceBuffer> sync_x_;
  std::unique_ptr<DeviceBuffer> sync_q_;
  std::unique_ptr<DeviceBuffer> sync_attended_;
  std::unique_ptr<DeviceBuffer> tile_;  // a KvBlock of kTileRows
  // Where the history is derived: the vocabulary table, and where a
  // tlinformer's rows meet it, a tile and the partial of kTileRows queries.
  std::unique_ptr<DeviceBuffer> table_;  // f32 [vocab, 3D]
  std::unique_ptr<DeviceBuffer> history_tile_;
  std::unique_ptr<DeviceBuffer> history_partial_;
  std::vector<TokenId> tokens_;
  std::vector<int32_t> positions_;
  std::vector<int32_t> run_positions_;  // PositionsFrom's
  std::vector<KvRow> kv_rows_;
  std::vector<WindowPart> window_parts_;
  std::vector<KvBlock> window_blocks_;   // one a part
  std::vector<KvBlock> history_blocks_;  // one a part
  std::vector<int32_t> logit_rows_;
  std::vector<int32_t> sample_rows_;
  int64_t logits_size_ = 0;
  std::unique_ptr<float[]> logits_;          // [max_logit_rows, vocab]
  std::vector<SampledToken> tokens_chosen_;  // [max_logit_rows]
};

}  // namespace tlin

#endif  // TLIN_ENGINE_MODEL_MODEL_H_
