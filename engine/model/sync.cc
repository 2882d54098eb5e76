// The history path: a sync, step by step. MODEL: "One block", "What follows for
// an engine". Nothing here holds as many rows as the history has.
#include <algorithm>
#include <numeric>

#include "engine/base/check.h"
#include "engine/model/cost_model.h"
#include "engine/model/model.h"

namespace tlin {

absl::Span<const int32_t> Model::PositionsFrom(int64_t position, int32_t rows) {
  const auto positions = absl::MakeSpan(run_positions_).first(rows);
  std::iota(positions.begin(), positions.end(), static_cast<int32_t>(position));
  return positions;
}

absl::Span<const KvRow> Model::RowsOfBlock(const KvBlock& block, int32_t rows) {
  for (int32_t i = 0; i < rows; ++i) {
    kv_rows_[i] = {block.data, block.capacity, i};
  }
  return absl::MakeConstSpan(kv_rows_).first(rows);
}

void Model::RunSlice(const SyncSlice& slice, const SyncPrices& prices) {
  Slot& slot = slots_[slice.slot];
  TLIN_CHECK(slot.sync.has_value());
  // Half a unit more: what is left of a sync is told in whole ones.
  double left = static_cast<double>(slice.cost) + 0.5;
  do {
    left -= prices.CostOf(slot.sync->step_work());
    RunSyncStep(&slot, slice.slot);
    slot.sync->Advance();
  } while (!slot.sync->done() && left >= prices.CostOf(slot.sync->step_work()));
  if (slot.sync->done()) {
    if (config_.architecture == Architecture::kTLinFormer &&
        !config_.derived_history) {
      slot.kept_tokens = slot.history_tokens;
    }
    sync_workspaces_[slot.sync_workspace].in_use = false;
    slot.sync.reset();
    slot.sync_tokens = {};
    slot.sync_workspace = -1;
  }
}

int64_t Model::CarriedTokens(const Slot& slot, int64_t history_tokens) const {
  // Only a window that is full becomes history as it is.
  if (config_.architecture != Architecture::kTLinFormer ||
      slot.history_tokens + slot.window_tokens != history_tokens) {
    return 0;
  }
  const int64_t first_query =
      history_tokens - config_.CompressedRows(history_tokens);
  return slot.carried_from <= first_query ? WholeTiles(slot.history_tokens) : 0;
}

void Model::CarryPartials(const Slot& slot, SlotId id) {
  const SyncStep& step = slot.sync->step();
  if (config_.architecture != Architecture::kTLinFormer || step.block > 0 ||
      step.position + step.rows != WholeTiles(slot.history_tokens)) {
    return;
  }
  backend_->StorePartial(sync_workspaces_[slot.sync_workspace].partial->data(),
                         slot.sync->queries(), cache_->Carry(id),
                         static_cast<int32_t>(slot.sync->first_query()));
}

void Model::LookUpTile(absl::Span<const TokenId> history, int64_t position,
                       const KvBlock& tile) {
  backend_->LookUpQkv(table(), history.subspan(position, tile.rows),
                      PositionsFrom(position, tile.rows), Rows(),
                      RowsOfBlock(tile, tile.rows));
}

void Model::ReadHistory(const Slot& slot, SlotId id, int32_t block,
                        int64_t position, Rows x) {
  const auto positions = PositionsFrom(position, x.rows);
  const auto tokens = slot.sync_tokens.subspan(position, x.rows);
  backend_->Embed(*weights_.embedding, tokens, x);
  const Rows q = RowsOf(sync_q_, x.rows);
  const Rows attended = RowsOf(sync_attended_, x.rows);
  const int32_t restore = config_.block_depth - 1;
  for (int32_t before = 0; before < block; ++before) {
    // The restore layer's queries are the compress layer's.
    if (config_.derived_history && before == 0) {
      backend_->LookUpQkv(table(), tokens, positions, q, {});
    } else {
      backend_->ProjectQ(layer(before, 0), x, positions, q);
    }
    KvBlock compressed =
        cache_->CompressedHistory(id, before * config_.block_depth + restore);
    compressed.rows = slot.compressed_rows;
    backend_->Attend(q, compressed, attended);
    backend_->Finish(layer(before, restore), attended, x);
  }
}

Rows Model::ReadTile(const Slot& slot, SlotId id) {
  const SyncStep& step = slot.sync->step();
  const int32_t read = slot.sync->rows_to_read();
  const int64_t held = step.position + read - slot.sync->first_query();
  const Rows queries = RowsOf(sync_workspaces_[slot.sync_workspace].rows, 0);
  float* const rest = queries.data + held * config_.n_embd;
  if (read == 0) return {rest, step.rows};
  const Rows x = RowsOf(sync_x_, step.rows);
  ReadHistory(slot, id, step.block, step.position, {x.data, read});
  if (read < step.rows) {
    backend_->Copy(rest, x.data + int64_t{read} * config_.n_embd,
                   RowsBytes(step.rows - read));
  }
  return x;
}

void Model::RunSyncStep(Slot* slot, SlotId id) {
  const SyncStep& step = slot->sync->step();
  const SyncWorkspace& workspace = sync_workspaces_[slot->sync_workspace];
  const int32_t queries = slot->sync->queries();
  const int64_t first_query = slot->sync->first_query();
  switch (step.stage) {
    case SyncStep::Stage::kQueries: {
      const int64_t offset = (step.position - first_query) * config_.n_embd;
      Rows z = RowsOf(workspace.rows, step.rows);
      Rows q = RowsOf(workspace.queries, step.rows);
      z.data += offset;
      q.data += offset;
      ReadHistory(*slot, id, step.block, step.position, z);
      const auto positions = PositionsFrom(step.position, step.rows);
      if (step.looked_up) {
        backend_->LookUpQkv(table(),
                            slot->sync_tokens.subspan(step.position, step.rows),
                            positions, q, {});
      } else {
        backend_->ProjectQ(layer(step.block, 0), z, positions, q);
      }
      if (step.position != first_query) return;
      if (step.block == 0 && slot->sync->carried_tokens() > 0) {
        backend_->LoadPartial(cache_->Carry(id),
                              static_cast<int32_t>(first_query), queries,
                              workspace.partial->data());
      } else {
        backend_->ResetPartial(queries, workspace.partial->data());
      }
      return;
    }
    case SyncStep::Stage::kStream: {
      KvBlock tile = {tile_->data(), kTileRows, step.rows};
      if (config_.architecture == Architecture::kTLinFormer &&
          !step.looked_up) {
        KvBlock& page = cache_->Pages(
            id, GrowingLayer(step.block))[step.position / kTileRows];
        page.rows = step.rows;
        tile = page;
      }
      if (step.looked_up) {
        LookUpTile(slot->sync_tokens, step.position, tile);
      } else if (!step.keys_kept) {
        const Rows x = ReadTile(*slot, id);
        backend_->ProjectKv(layer(step.block, 0), x,
                            PositionsFrom(step.position, step.rows),
                            RowsOfBlock(tile, step.rows));
      }
      backend_->AccumulateAttention(RowsOf(workspace.queries, queries), tile,
                                    workspace.partial->data());
      CarryPartials(*slot, id);
      return;
    }
    case SyncStep::Stage::kLayer:
      return RunSyncLayer(*slot, id, step);
  }
}

void Model::RunSyncLayer(const Slot& slot, SlotId id, const SyncStep& step) {
  const SyncWorkspace& workspace = sync_workspaces_[slot.sync_workspace];
  const Rows z = RowsOf(workspace.rows, step.rows);
  const Rows attended = RowsOf(sync_attended_, step.rows);
  const LayerWeights& weights = layer(step.block, step.layer);
  if (step.layer == 0) {
    backend_->FinishPartial(workspace.partial->data(), attended);
    backend_->Finish(weights, attended, z);
    return;
  }
  KvBlock compressed = cache_->CompressedHistory(
      id, step.block * config_.block_depth + step.layer);
  compressed.rows = step.rows;
  const auto positions = PositionsFrom(step.position, step.rows);
  const auto kv = RowsOfBlock(compressed, step.rows);
  if (step.layer == config_.block_depth - 1) {
    backend_->ProjectKv(weights, z, positions, kv);
    return;
  }
  const Rows q = RowsOf(sync_q_, step.rows);
  backend_->ProjectQkv(weights, z, positions, q, kv);
  backend_->Attend(q, compressed, attended);
  backend_->Finish(weights, attended, z);
}

}  // namespace tlin
