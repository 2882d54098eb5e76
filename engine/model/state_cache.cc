#include "engine/model/state_cache.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/model/cost_model.h"

namespace tlin {

StateCache::StateCache(const ModelConfig& config, DType dtype, int32_t slots,
                       int64_t max_context_tokens)
    : config_(config),
      growing_layers_(HistoryLayers(config)),
      window_bytes_(
          KvBlockBytes(config.generation_window, config.n_embd, dtype)),
      history_rows_(
          static_cast<int32_t>(config.HistoryWindow(max_context_tokens))),
      history_bytes_(KvBlockBytes(history_rows_, config.n_embd, dtype)),
      slot_bytes_(SlotBytes(config, dtype, max_context_tokens) -
                  CarryBytes(config, max_context_tokens)),
      page_block_bytes_(KvBlockBytes(kTileRows, config.n_embd, dtype)),
      slot_pages_(static_cast<size_t>(slots)),
      slot_page_ids_(static_cast<size_t>(slots)) {}

absl::StatusOr<std::unique_ptr<StateCache>> StateCache::Create(
    const ModelConfig& config, int32_t slots, int64_t max_context_tokens,
    int64_t history_tokens, Backend* backend) {
  std::unique_ptr<StateCache> cache(
      new StateCache(config, backend->dtype(), slots, max_context_tokens));
  if (CarryBytes(config, max_context_tokens) > 0) {
    cache->carry_bytes_ = backend->PartialBytes(cache->history_rows_);
  }
  auto slot_memory = backend->Allocate(slots * cache->slot_bytes_);
  auto carry_memory = backend->Allocate(slots * cache->carry_bytes_);
  if (!slot_memory.ok() || !carry_memory.ok()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("--slots: no memory for ", slots, " slots of ",
                     cache->slot_bytes(), " bytes"));
  }
  cache->slot_memory_ = *std::move(slot_memory);
  cache->carry_memory_ = *std::move(carry_memory);
  cache->pages_ = HistoryPages(config, history_tokens);
  const int64_t pages_bytes =
      cache->pages_ * HistoryPageBytes(config, backend->dtype());
  auto page_memory = backend->Allocate(pages_bytes);
  if (!page_memory.ok()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("--history_tokens: no memory for a history of ",
                     history_tokens, " tokens, ", pages_bytes, " bytes"));
  }
  cache->page_memory_ = *std::move(page_memory);
  for (int64_t page = cache->pages_ - 1; page >= 0; --page) {
    cache->free_pages_.push_back(static_cast<int32_t>(page));
  }
  return cache;
}

int64_t StateCache::pages_bytes() const { return page_memory_->size(); }

int64_t StateCache::pages_used_bytes() const {
  return (pages_ - static_cast<int64_t>(free_pages_.size())) * growing_layers_ *
         page_block_bytes_;
}

bool StateCache::CanReserve(int64_t max_tokens,
                            absl::Span<const SlotId> released) const {
  size_t pages = free_pages_.size();
  for (const SlotId slot : released) pages += slot_page_ids_[slot].size();
  return HistoryPages(config_, max_tokens) <= static_cast<int64_t>(pages);
}

bool StateCache::CouldEverReserve(int64_t max_tokens) const {
  return HistoryPages(config_, max_tokens) <= pages_;
}

void StateCache::Reserve(SlotId slot, int64_t max_tokens) {
  TLIN_CHECK(CanReserve(max_tokens, {slot}));
  const auto count = static_cast<size_t>(HistoryPages(config_, max_tokens));
  std::vector<int32_t>& ids = slot_page_ids_[slot];
  const size_t before = ids.size();
  if (count == before) return;
  while (ids.size() > count) {
    free_pages_.push_back(ids.back());
    ids.pop_back();
  }
  while (ids.size() < count) {
    ids.push_back(free_pages_.back());
    free_pages_.pop_back();
  }
  std::vector<KvBlock> pages;
  pages.reserve(growing_layers_ * count);
  for (int32_t layer = 0; layer < growing_layers_; ++layer) {
    for (size_t i = 0; i < count; ++i) {
      if (i < before) {
        pages.push_back(slot_pages_[slot][layer * before + i]);
        continue;
      }
      std::byte* const data =
          page_memory_->data() +
          (int64_t{ids[i]} * growing_layers_ + layer) * page_block_bytes_;
      pages.push_back({data, kTileRows, 0});
    }
  }
  slot_pages_[slot] = std::move(pages);
}

void StateCache::Release(SlotId slot) {
  for (const int32_t page : slot_page_ids_[slot]) free_pages_.push_back(page);
  slot_page_ids_[slot].clear();
  slot_pages_[slot].clear();
}

KvBlock StateCache::Window(SlotId slot, int32_t layer) const {
  const int32_t block = layer / config_.block_depth;
  // Before this layer: `layer` windows, and a history for each of them but the
  // compress layers', this block's own among them unless this is it.
  const int32_t compress_before =
      block + (layer % config_.block_depth > 0 ? 1 : 0);
  return {SlotData(slot) + layer * window_bytes_ +
              (layer - compress_before) * history_bytes_,
          config_.generation_window, 0};
}

KvBlock StateCache::CompressedHistory(SlotId slot, int32_t layer) const {
  TLIN_CHECK(layer % config_.block_depth != 0);
  return {Window(slot, layer).data + window_bytes_, history_rows_, 0};
}

absl::Span<KvBlock> StateCache::Pages(SlotId slot, int32_t index) {
  const size_t pages = slot_page_ids_[slot].size();
  return absl::MakeSpan(slot_pages_[slot]).subspan(index * pages, pages);
}

}  // namespace tlin
