// Where sessions' keys and values live: equal slots of constant size, and pages
// of histories that grow. All of it is allocated at start.
#ifndef TLIN_ENGINE_MODEL_STATE_CACHE_H_
#define TLIN_ENGINE_MODEL_STATE_CACHE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/backend/backend.h"
#include "engine/model/config.h"
#include "engine/token.h"

namespace tlin {

// Engine thread only.
//
// A slot holds, block by block and layer by layer, the generation window's keys
// and values (W_og rows) and, in all layers but compress, the compressed
// history's (W_oh rows); a tlinformer's also what is carried from sync to sync.
// A page holds kTileRows rows for each growing layer: the compress layers of a
// tlinformer (but the first where its history is derived), all layers of a
// transformer.
class StateCache {
 public:
  // RESOURCE_EXHAUSTED when the device has no room. `history_tokens` sizes the
  // pages; it is ignored where no history grows.
  static absl::StatusOr<std::unique_ptr<StateCache>> Create(
      const ModelConfig& config, int32_t slots, int64_t max_context_tokens,
      int64_t history_tokens, Backend* backend);

  int64_t slot_bytes() const { return slot_bytes_ + carry_bytes_; }
  int64_t slots_bytes() const {
    return slot_memory_->size() + carry_memory_->size();
  }
  int64_t pages_bytes() const;
  int64_t pages_used_bytes() const;

  // With the pages that the slots in `released` have.
  bool CanReserve(int64_t max_tokens, absl::Span<const SlotId> released) const;
  bool CouldEverReserve(int64_t max_tokens) const;
  // The slot's pages become as many as `max_tokens` take; those that it had
  // stay, the last ones are given back where they are too many.
  // REQUIRES: CanReserve(max_tokens, {slot}).
  void Reserve(SlotId slot, int64_t max_tokens);
  void Release(SlotId slot);

  // The generation window of a layer; `layer` counts through all blocks.
  KvBlock Window(SlotId slot, int32_t layer) const;
  // The compressed history of a layer that is not a compress layer; rows is 0.
  KvBlock CompressedHistory(SlotId slot, int32_t layer) const;
  // Partials of the first block's compress attention: tlinformer.
  PartialRing Carry(SlotId slot) const {
    return {carry_memory_->data() + slot * carry_bytes_, history_rows_};
  }
  // The pages of growing layer `index`; their rows are the caller's to set.
  absl::Span<KvBlock> Pages(SlotId slot, int32_t index);

 private:
  StateCache(const ModelConfig& config, DType dtype, int32_t slots,
             int64_t max_context_tokens);

  std::byte* SlotData(SlotId slot) const {
    return slot_memory_->data() + slot * slot_bytes_;
  }

  // Constant after construction.
  const ModelConfig config_;
  const int32_t growing_layers_;
  const int64_t window_bytes_;   // of one layer
  const int32_t history_rows_;   // capacity of a compressed history
  const int64_t history_bytes_;  // of one layer
  const int64_t slot_bytes_;     // without its carry
  int64_t carry_bytes_ = 0;
  const int64_t page_block_bytes_;  // of one growing layer
  int64_t pages_ = 0;
  std::unique_ptr<DeviceBuffer> slot_memory_;
  std::unique_ptr<DeviceBuffer> carry_memory_;
  std::unique_ptr<DeviceBuffer> page_memory_;

  // Pages that no slot holds, the next to be handed out last.
  std::vector<int32_t> free_pages_;
  // Of each slot: growing layer by growing layer, its pages in order.
  std::vector<std::vector<KvBlock>> slot_pages_;
  std::vector<std::vector<int32_t>> slot_page_ids_;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_MODEL_STATE_CACHE_H_
