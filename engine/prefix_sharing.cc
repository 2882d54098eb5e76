#include "engine/prefix_sharing.h"

#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/types/span.h"

namespace tlin {

PrefixSharing::PrefixSharing(int64_t most_bytes, ModelRunner* model,
                             Logger* logger)
    : most_bytes_(most_bytes),
      model_(model),
      logger_(logger),
      cache_(model->info().fingerprint, model->info().generation_window,
             most_bytes) {
  being_made_.reserve(static_cast<size_t>(model->info().slots));
}

bool PrefixSharing::MayShare(const Sequence& sequence, int64_t history) const {
  if (most_bytes_ == 0 || sequence.scoring() ||
      sequence.request().bypass_prefix_cache) {
    return false;
  }
  const int64_t bytes =
      model_->StateBytes({history, 0}).value_or(kMostCopiedStateBytes + 1);
  return bytes <= kMostCopiedStateBytes && cache_.Fits(bytes);
}

bool PrefixSharing::Shares(const Sequence& sequence) const {
  return sequence.phase() == Sequence::Phase::kSyncing &&
         MayShare(sequence, sequence.history());
}

bool PrefixSharing::MayHave(const Sequence& sequence, int64_t history) const {
  if (history == 0 || !MayShare(sequence, history)) return false;
  const PrefixKey key =
      cache_.Extend(cache_.root(),
                    sequence.tokens().subspan(0, static_cast<size_t>(history)));
  return cache_.Has(key) || absl::c_linear_search(being_made_, key);
}

bool PrefixSharing::TakeState(Sequence* sequence, absl::Time now,
                              int64_t step) {
  if (!Shares(*sequence) || HasBegun(*sequence)) return false;
  if (sequence->prefix.tokens != sequence->history()) {
    const bool fresh = sequence->prefix.tokens == 0;
    sequence->prefix = cache_.Extend(fresh ? cache_.root() : sequence->prefix,
                                     sequence->history_tokens());
    ++queries_;
  }
  const std::shared_ptr<const SavedState> state = cache_.Find(sequence->prefix);
  if (state == nullptr) return false;
  // What is in the slot is of fewer tokens.
  model_->Close(sequence->slot());
  model_->Open(sequence->slot(), sequence->max_tokens());
  const absl::Status loaded =
      model_->LoadState(sequence->slot(), state->extent, state->bytes);
  if (!loaded.ok()) {
    logger_->Log(
        Severity::kError, "a shared state was not loaded",
        {{"request", sequence->request().id}, {"status", loaded.ToString()}});
    cache_.Erase(sequence->prefix);
    model_->Close(sequence->slot());
    model_->Open(sequence->slot(), sequence->max_tokens());
    return false;
  }
  ++hits_;
  sequence->SkipSync(now, step);
  return true;
}

void PrefixSharing::BeginStep(
    const std::vector<std::unique_ptr<Sequence>>& active) {
  being_made_.clear();
  if (most_bytes_ == 0) return;
  for (const auto& sequence : active) {
    if (HasBegun(*sequence) && Shares(*sequence)) {
      being_made_.push_back(sequence->prefix);
    }
  }
}

bool PrefixSharing::MustWait(Sequence* sequence, absl::Time now, int64_t step) {
  if (!Shares(*sequence) || HasBegun(*sequence)) return false;
  if (TakeState(sequence, now, step)) return false;
  if (absl::c_linear_search(being_made_, sequence->prefix)) return true;
  being_made_.push_back(sequence->prefix);
  return false;
}

void PrefixSharing::KeepState(const Sequence& sequence) {
  if (!Shares(sequence)) return;
  auto state = std::make_shared<SavedState>();
  state->extent = model_->Extent(sequence.slot());
  const absl::StatusOr<int64_t> bytes = model_->StateBytes(state->extent);
  absl::Status saved = bytes.status();
  if (saved.ok()) {
    state->bytes.resize(static_cast<size_t>(*bytes));
    saved = model_->SaveState(sequence.slot(), absl::MakeSpan(state->bytes));
  }
  if (saved.ok()) {
    cache_.Insert(sequence.prefix, std::move(state));
  } else {
    logger_->Log(
        Severity::kError, "a state was not kept to be shared",
        {{"request", sequence.request().id}, {"status", saved.ToString()}});
  }
}

}  // namespace tlin
