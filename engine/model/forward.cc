// The generation path: rows that join their sequences' windows.
#include <algorithm>

#include "engine/base/check.h"
#include "engine/model/cost_model.h"
#include "engine/model/model.h"

namespace tlin {

int32_t Model::PlaceRows(absl::Span<const WindowRows> parts) {
  int32_t row = 0;
  for (const WindowRows& part : parts) {
    Slot& slot = slots_[part.slot];
    const auto count = static_cast<int32_t>(part.tokens.size());
    TLIN_CHECK(slot.open && !slot.sync.has_value() && count >= 1);
    TLIN_CHECK(!config_.has_windows() ||
               slot.window_tokens + count <= config_.generation_window);
    const int64_t position = slot.history_tokens + slot.window_tokens;
    for (int32_t i = 0; i < count; ++i, ++row) {
      tokens_[row] = part.tokens[i];
      positions_[row] = static_cast<int32_t>(position + i);
    }
    slot.window_tokens += count;
  }
  return row;
}

void Model::PlaceWindow(const WindowRows& part, int32_t layer,
                        int32_t first_row, size_t index) {
  const Slot& slot = slots_[part.slot];
  const auto count = static_cast<int32_t>(part.tokens.size());
  const int32_t before = slot.window_tokens - count;
  WindowPart& placed = window_parts_[index];
  placed = WindowPart();
  placed.first_row = first_row;
  placed.rows = count;
  placed.window_offset = before;
  if (!config_.has_windows()) {
    // Everything is window: pages, the last of them perhaps not full.
    const absl::Span<KvBlock> pages = cache_->Pages(part.slot, layer);
    for (int32_t i = 0; i < count; ++i) {
      KvBlock& page = pages[(before + i) / kTileRows];
      const int32_t row = (before + i) % kTileRows;
      page.rows = row + 1;
      kv_rows_[first_row + i] = {page.data, page.capacity, row};
    }
    placed.grows = true;
    placed.window =
        pages.subspan(0, (slot.window_tokens + kTileRows - 1) / kTileRows);
    return;
  }
  KvBlock& window = window_blocks_[index];
  window = cache_->Window(part.slot, layer);
  window.rows = slot.window_tokens;
  for (int32_t i = 0; i < count; ++i) {
    kv_rows_[first_row + i] = {window.data, window.capacity, before + i};
  }
  placed.window = absl::MakeConstSpan(&window, 1);
  // The first layer's may be AttendDerivedHistory's.
  placed.grows = config_.architecture == Architecture::kTLinFormer &&
                 layer % config_.block_depth == 0 &&
                 !(layer == 0 && config_.derived_history);
  if (slot.history_tokens == 0) return;
  if (layer % config_.block_depth != 0) {
    KvBlock& history = history_blocks_[index];
    history = cache_->CompressedHistory(part.slot, layer);
    history.rows = slot.compressed_rows;
    placed.history = absl::MakeConstSpan(&history, 1);
  } else if (placed.grows) {
    placed.history =
        cache_->Pages(part.slot, GrowingLayer(layer / config_.block_depth))
            .subspan(0, HistoryPages(config_, slot.history_tokens));
    if (layer > 0) return;
    placed.carry = cache_->Carry(part.slot);
    placed.first_query = static_cast<int32_t>(slot.history_tokens) + before;
    placed.carried_blocks =
        static_cast<int32_t>(slot.history_tokens / kTileRows);
  }
}

void Model::PlaceLayer(absl::Span<const WindowRows> parts, int32_t layer) {
  int32_t row = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    PlaceWindow(parts[i], layer, row, i);
    row += static_cast<int32_t>(parts[i].tokens.size());
  }
}

void Model::ProjectRows(int32_t layer, Rows x, Rows q) {
  const auto positions = absl::MakeConstSpan(positions_).first(x.rows);
  const auto kv = absl::MakeConstSpan(kv_rows_).first(x.rows);
  if (config_.derived_history && layer == 0) {
    backend_->LookUpQkv(table(), absl::MakeConstSpan(tokens_).first(x.rows),
                        positions, q, kv);
  } else {
    backend_->ProjectQkv(weights_.layers[layer], x, positions, q, kv);
  }
}

// Tile by tile, each made once for all of the part's rows: in the order, and so
// to the bits, of attention to stored pages.
void Model::AttendDerivedHistory(const WindowRows& part, int32_t first_row,
                                 Rows q, Rows attended) {
  const Slot& slot = slots_[part.slot];
  if (slot.history_tokens == 0) return;
  TLIN_CHECK(static_cast<int64_t>(part.history.size()) == slot.history_tokens);
  const auto rows = static_cast<int32_t>(part.tokens.size());
  const int64_t at = int64_t{first_row} * config_.n_embd;
  const Rows queries = {q.data + at, rows};
  std::byte* const partial = history_partial_->data();
  backend_->ResetPartial(rows, partial);
  for (int64_t position = 0; position < slot.history_tokens;
       position += kTileRows) {
    const auto tile_rows = static_cast<int32_t>(
        std::min<int64_t>(kTileRows, slot.history_tokens - position));
    const KvBlock tile = {history_tile_->data(), kTileRows, tile_rows};
    LookUpTile(part.history, position, tile);
    backend_->AccumulateAttention(queries, tile, partial);
    if (position + kTileRows == WholeTiles(slot.history_tokens)) {
      const int64_t first = slot.history_tokens + slot.window_tokens - rows;
      backend_->StorePartial(partial, rows, cache_->Carry(part.slot),
                             static_cast<int32_t>(first));
    }
  }
  backend_->AddPartial(partial, {attended.data + at, rows});
}

void Model::RunWindowRows(absl::Span<const WindowRows> parts,
                          absl::Span<const SampleRow> samples,
                          StepOutput* output) {
  const int32_t rows = PlaceRows(parts);
  TLIN_CHECK(rows <= backend_->shape().max_rows);
  const Rows x = RowsOf(x_, rows);
  const Rows q = RowsOf(q_, rows);
  const Rows attended = RowsOf(attended_, rows);
  const auto placed = absl::MakeConstSpan(window_parts_).first(parts.size());
  const bool decodes = IsDecodeStep(parts);
  if (decodes) backend_->BeginDecode(rows, samples.first(parts.size()));
  backend_->Embed(*weights_.embedding, absl::MakeConstSpan(tokens_).first(rows),
                  x);
  for (int32_t i = 0; i < config_.layers(); ++i) {
    PlaceLayer(parts, i);
    ProjectRows(i, x, q);
    backend_->AttendWindow(q, placed, attended);
    if (i == 0 && config_.derived_history &&
        config_.architecture == Architecture::kTLinFormer) {
      for (size_t part = 0; part < parts.size(); ++part) {
        AttendDerivedHistory(parts[part], window_parts_[part].first_row, q,
                             attended);
      }
    }
    backend_->Finish(weights_.layers[i], attended, x);
  }

  logit_rows_.clear();
  sample_rows_.clear();
  int32_t row = 0;
  for (const WindowRows& part : parts) {
    const int32_t next = row + static_cast<int32_t>(part.tokens.size());
    switch (part.logits) {
      case WindowRows::Logits::kNone:
        break;
      case WindowRows::Logits::kSample:
        sample_rows_.push_back(next - 1);
        break;
      case WindowRows::Logits::kLast:
        logit_rows_.push_back(next - 1);
        break;
      case WindowRows::Logits::kAll:
        for (int32_t i = row; i < next; ++i) logit_rows_.push_back(i);
        break;
    }
    row = next;
  }
  Sample(x, samples, output);
  if (decodes) backend_->EndDecode();
  ReadLogits(x, &output->logits);
}

bool Model::IsDecodeStep(absl::Span<const WindowRows> parts) const {
  // With a derived history there are more operations the longer it is.
  if (history_tile_ != nullptr) return false;
  return std::all_of(parts.begin(), parts.end(), [](const WindowRows& part) {
    return part.tokens.size() == 1 &&
           part.logits == WindowRows::Logits::kSample;
  });
}

void Model::Sample(Rows x, absl::Span<const SampleRow> samples,
                   StepOutput* output) {
  if (sample_rows_.empty()) return;
  const size_t before = output->tokens.size();
  const size_t after = before + sample_rows_.size();
  TLIN_CHECK(sample_rows_.size() <= samples.size() &&
             after <= tokens_chosen_.size());
  backend_->SampleTokens(*weights_.norm, *weights_.embedding, x, sample_rows_,
                         samples.first(sample_rows_.size()),
                         tokens_chosen_.data() + before);
  output->tokens = absl::MakeConstSpan(tokens_chosen_).first(after);
}

void Model::ReadLogits(Rows x, LogitRows* logits) {
  if (logit_rows_.empty()) return;
  const auto wanted = static_cast<int32_t>(logit_rows_.size());
  TLIN_CHECK(logits->rows + wanted <= info_.max_logit_rows);
  backend_->ComputeLogits(
      *weights_.norm, *weights_.embedding, x, logit_rows_,
      logits_.get() + int64_t{logits->rows} * config_.vocab_size);
  logits->rows += wanted;
}

}  // namespace tlin
