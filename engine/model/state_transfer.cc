// The state of a slot in host memory, and back.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/model/cost_model.h"
#include "engine/model/model.h"

namespace tlin {

absl::StatusOr<int64_t> Model::StateBytes(const StateExtent& extent) const {
  const int64_t window = config_.has_windows() ? config_.generation_window
                                               : options_.max_context_tokens;
  const bool whole_windows = config_.has_windows()
                                 ? extent.history_tokens % window == 0
                                 : extent.history_tokens == 0;
  if (extent.history_tokens < 0 ||
      extent.history_tokens > options_.max_context_tokens || !whole_windows ||
      extent.window_tokens < 0 || extent.window_tokens > window ||
      extent.tokens() > options_.max_context_tokens) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a state of ", extent.history_tokens, " history tokens and ",
        extent.window_tokens, " window tokens: windows have ", window,
        ", a context at most ", options_.max_context_tokens));
  }
  return SavedStateBytes(config_, backend_->dtype(), extent.history_tokens,
                         extent.window_tokens);
}

template <class Visit>
void Model::ForEachBlock(SlotId id, const StateExtent& extent,
                         const Visit& visit) {
  const auto visit_pages = [&](int32_t index, int64_t tokens) {
    for (KvBlock& page : cache_->Pages(id, index)) {
      page.rows = static_cast<int32_t>(std::min<int64_t>(tokens, kTileRows));
      if (page.rows == 0) return;
      visit(page);
      tokens -= page.rows;
    }
    TLIN_CHECK(tokens == 0);
  };
  for (int32_t layer = 0; layer < config_.layers(); ++layer) {
    if (!config_.has_windows()) {
      visit_pages(layer, extent.window_tokens);
      continue;
    }
    KvBlock window = cache_->Window(id, layer);
    window.rows = static_cast<int32_t>(extent.window_tokens);
    visit(window);
    if (layer % config_.block_depth != 0) {
      KvBlock history = cache_->CompressedHistory(id, layer);
      history.rows =
          static_cast<int32_t>(config_.CompressedRows(extent.history_tokens));
      visit(history);
    } else if (config_.architecture == Architecture::kTLinFormer &&
               (layer > 0 || !config_.derived_history)) {
      visit_pages(GrowingLayer(layer / config_.block_depth),
                  extent.history_tokens);
    }
  }
}

absl::Status Model::SaveState(SlotId slot, absl::Span<std::byte> state) {
  TLIN_CHECK(slots_[slot].open && !slots_[slot].sync.has_value());
  std::byte* to = state.data();
  ForEachBlock(slot, Extent(slot), [&](const KvBlock& block) {
    backend_->ReadKv(block, to);
    to += KvRowsBytes(block.rows, config_.n_embd, backend_->dtype());
  });
  TLIN_CHECK(to == state.data() + state.size());
  return backend_->Synchronize();
}

absl::Status Model::LoadState(SlotId id, const StateExtent& extent,
                              absl::Span<const std::byte> state) {
  Slot& slot = slots_[id];
  TLIN_CHECK(slot.open && !slot.sync.has_value() && Extent(id).tokens() == 0);
  const std::byte* from = state.data();
  ForEachBlock(id, extent, [&](const KvBlock& block) {
    backend_->WriteKv(from, block);
    from += KvRowsBytes(block.rows, config_.n_embd, backend_->dtype());
  });
  TLIN_CHECK(from == state.data() + state.size());
  slot.history_tokens = extent.history_tokens;
  slot.window_tokens = static_cast<int32_t>(extent.window_tokens);
  slot.compressed_rows =
      static_cast<int32_t>(config_.CompressedRows(extent.history_tokens));
  if (config_.architecture == Architecture::kTLinFormer) {
    if (!config_.derived_history) slot.kept_tokens = extent.history_tokens;
    // Partials are not part of a state: the next sync makes them again.
    slot.carried_from = extent.tokens();
  }
  return backend_->Synchronize();
}

}  // namespace tlin
