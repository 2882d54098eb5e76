#include "tests/testing/puppet_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "engine/sampling/random.h"

namespace tlin {

void HashLogits(absl::Span<const TokenId> history,
                absl::Span<const TokenId> window, absl::Span<float> logits) {
  uint64_t hash = MixBits(history.size() + 1);
  for (TokenId token : history) {
    hash = MixBits(hash + static_cast<uint64_t>(token) + 1);
  }
  for (TokenId token : window) {
    hash = MixBits(hash + static_cast<uint64_t>(token) + 1);
  }
  for (size_t i = 0; i < logits.size(); ++i) {
    logits[i] =
        static_cast<float>(UniformAt(hash, static_cast<int64_t>(i))) * 6;
  }
}

int64_t HistoryOf(int64_t tokens, int32_t generation_window) {
  if (generation_window == 0) return 0;
  const int64_t rest = tokens % generation_window;
  return tokens - (rest == 0 ? generation_window : rest);
}

PuppetModel::PuppetModel(const PuppetOptions& options, PuppetLogits logits)
    : options_(options),
      logits_fn_(std::move(logits)),
      slots_(static_cast<size_t>(options.slots)),
      sampler_(options.vocab_size) {
  info_.architecture =
      options.generation_window == 0 ? "transformer" : "tlinformer";
  info_.device = "puppet";
  info_.dtype = "f32";
  info_.fingerprint = "0123456789abcdef0123456789abcdef";
  info_.vocab_size = options.vocab_size;
  info_.slots = options.slots;
  info_.generation_window = options.generation_window;
  info_.max_context_tokens = options.max_context_tokens;
  info_.max_decode_rows = options.max_decode_rows;
  info_.max_fill_rows = options.max_fill_rows;
  info_.max_logit_rows = options.max_logit_rows;
  info_.max_syncs = options.generation_window == 0 ? 0 : options.max_syncs;
  info_.fill_granularity = options.fill_granularity;
}

void PuppetModel::Expect(bool condition, const std::string& fault) {
  if (!condition && faults.size() < 20) faults.push_back(fault);
}

void PuppetModel::Block() {
  absl::MutexLock lock(&mutex_);
  block_ = true;
}

void PuppetModel::Release() {
  absl::MutexLock lock(&mutex_);
  block_ = false;
}

bool PuppetModel::WaitUntilBlocked(absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(&blocked_), timeout);
}

void PuppetModel::WaitForRelease() {
  absl::MutexLock lock(&mutex_);
  if (!block_) return;
  blocked_ = true;
  const auto released = +[](bool* block) { return !*block; };
  mutex_.Await(absl::Condition(released, &block_));
  blocked_ = false;
}

int32_t PuppetModel::open_slots() const {
  return static_cast<int32_t>(
      std::count_if(slots_.begin(), slots_.end(),
                    [](const Slot& slot) { return slot.open; }));
}

ModelMemory PuppetModel::memory() const {
  ModelMemory memory;
  memory.history = options_.history_tokens;
  memory.history_used = reserved_tokens_;
  return memory;
}

bool PuppetModel::CanOpen(int64_t max_tokens,
                          absl::Span<const SlotId> closed) const {
  int64_t reserved = reserved_tokens_;
  for (const SlotId slot : closed) reserved -= slots_[slot].max_tokens;
  return options_.history_tokens == 0 ||
         reserved + max_tokens <= options_.history_tokens;
}

bool PuppetModel::CouldEverOpen(int64_t max_tokens) const {
  return options_.history_tokens == 0 || max_tokens <= options_.history_tokens;
}

void PuppetModel::Open(SlotId id, int64_t max_tokens) {
  Slot& slot = slots_[static_cast<size_t>(id)];
  Expect(!slot.open, absl::StrCat("slot ", id, " opened twice"));
  Expect(CanOpen(max_tokens), "opened beyond the pool");
  slot = Slot();
  slot.open = true;
  slot.max_tokens = max_tokens;
  reserved_tokens_ += max_tokens;
}

void PuppetModel::Resize(SlotId id, int64_t max_tokens) {
  Slot& slot = slots_[static_cast<size_t>(id)];
  Expect(slot.open, absl::StrCat("slot ", id, " resized but not open"));
  Expect(CanOpen(max_tokens, {id}), "resized beyond the pool");
  Expect(max_tokens >= Extent(id).tokens(), "resized below what is there");
  reserved_tokens_ += max_tokens - slot.max_tokens;
  slot.max_tokens = max_tokens;
}

void PuppetModel::Close(SlotId id) {
  Slot& slot = slots_[static_cast<size_t>(id)];
  Expect(slot.open, absl::StrCat("slot ", id, " closed but not open"));
  reserved_tokens_ -= slot.max_tokens;
  slot = Slot();
}

StateExtent PuppetModel::Extent(SlotId id) const {
  const Slot& slot = slots_[static_cast<size_t>(id)];
  return {static_cast<int64_t>(slot.history.size()),
          static_cast<int64_t>(slot.window.size())};
}

// A state is the tokens that the slot has seen.
absl::StatusOr<int64_t> PuppetModel::StateBytes(
    const StateExtent& extent) const {
  const int64_t window = info_.generation_window;
  const int64_t most = options_.max_context_tokens;
  if (extent.history_tokens < 0 || extent.history_tokens > most ||
      extent.window_tokens < 0 || extent.window_tokens > most ||
      extent.tokens() > most ||
      (window == 0 ? extent.history_tokens != 0
                   : extent.history_tokens % window != 0 ||
                         extent.window_tokens > window)) {
    return absl::InvalidArgumentError("no such state");
  }
  return extent.tokens() * static_cast<int64_t>(sizeof(TokenId));
}

absl::Status PuppetModel::SaveState(SlotId id, absl::Span<std::byte> state) {
  const Slot& slot = slots_[static_cast<size_t>(id)];
  Expect(slot.open && !slot.broken, "a state saved that is not there");
  Expect(slot.units_left == 0, "a state saved in a sync");
  std::vector<TokenId> tokens = slot.history;
  tokens.insert(tokens.end(), slot.window.begin(), slot.window.end());
  Expect(!tokens.empty(), "an empty state saved");
  Expect(state.size() == tokens.size() * sizeof(TokenId), "a state's size");
  std::memcpy(state.data(), tokens.data(), state.size());
  ++saves;
  return absl::OkStatus();
}

absl::Status PuppetModel::LoadState(SlotId id, const StateExtent& extent,
                                    absl::Span<const std::byte> state) {
  Slot& slot = slots_[static_cast<size_t>(id)];
  Expect(slot.open && slot.history.empty() && slot.window.empty(),
         "a state loaded into a slot that is not empty");
  Expect(extent.tokens() <= slot.max_tokens, "a state beyond what was opened");
  Expect(StateBytes(extent).value_or(-1) == static_cast<int64_t>(state.size()),
         "a state's size");
  std::vector<TokenId> tokens(state.size() / sizeof(TokenId));
  std::memcpy(tokens.data(), state.data(), state.size());
  const auto window = tokens.begin() + extent.history_tokens;
  slot.history.assign(tokens.begin(), window);
  slot.window.assign(window, tokens.end());
  ++loads;
  return absl::OkStatus();
}

SyncWork PuppetModel::SyncWorkOf(int64_t history_tokens) const {
  return {history_tokens * options_.units_per_history_token, 0};
}

SyncWork PuppetModel::SyncWorkLeft(SlotId slot) const {
  return {slots_[static_cast<size_t>(slot)].units_left, 0};
}

int32_t PuppetModel::syncs_in_flight() const {
  return static_cast<int32_t>(
      std::count_if(slots_.begin(), slots_.end(),
                    [](const Slot& slot) { return slot.units_left > 0; }));
}

void PuppetModel::BeginSync(SlotId id, absl::Span<const TokenId> history) {
  Slot& slot = slots_[static_cast<size_t>(id)];
  Expect(slot.open && !slot.broken, "sync of a slot that is not there");
  Expect(slot.units_left == 0, "a sync begun in a sync");
  Expect(syncs_in_flight() < info_.max_syncs, "too many syncs in flight");
  Expect(info_.generation_window > 0 && !history.empty() &&
             history.size() % static_cast<size_t>(info_.generation_window) == 0,
         absl::StrCat("a history of ", history.size(), " tokens"));
  slot.history.assign(history.begin(), history.end());
  slot.window.clear();
  slot.borrowed = history;
  slot.units_left = SyncUnits(static_cast<int64_t>(history.size()));
}

PuppetModel::Slot& PuppetModel::Use(SlotId id, std::vector<bool>* used) {
  Expect(!(*used)[static_cast<size_t>(id)], "a slot twice in a plan");
  (*used)[static_cast<size_t>(id)] = true;
  Slot& slot = slots_[static_cast<size_t>(id)];
  Expect(slot.open, "a slot that is not open in a plan");
  Expect(!slot.broken, "a slot used after its run failed");
  return slot;
}

void PuppetModel::CheckBounds(const StepPlan& plan) {
  Expect(!plan.empty(), "an empty plan");
  Expect(plan.decode.size() <= static_cast<size_t>(info_.max_decode_rows),
         "too many decode rows");
}

void PuppetModel::Record(const StepPlan& plan) {
  SeenPlan seen;
  for (const auto& rows : plan.decode) seen.decode.push_back(rows.slot);
  for (const auto& rows : plan.fill) {
    seen.fill.push_back(rows.slot);
    seen.fill_rows.push_back(static_cast<int32_t>(rows.tokens.size()));
  }
  for (const auto& slice : plan.sync) {
    seen.sync.push_back(slice.slot);
    seen.sync_cost += slice.cost;
  }
  plans.push_back(std::move(seen));
}

absl::Status PuppetModel::Run(const StepPlan& plan, StepOutput* output) {
  WaitForRelease();
  ++runs;
  if (record_plans) Record(plan);
  CheckBounds(plan);
  if (before_run) {
    const absl::Status status = before_run(plan);
    if (!status.ok()) {
      for (const auto& rows : plan.decode) slots_[rows.slot].broken = true;
      for (const auto& rows : plan.fill) slots_[rows.slot].broken = true;
      for (const auto& slice : plan.sync) slots_[slice.slot].broken = true;
      return status;
    }
  }
  logits_.clear();
  tokens_.clear();
  std::vector<bool> used(slots_.size(), false);
  for (const auto& rows : plan.decode) RunRows(rows, true, plan, &used);
  for (const auto& rows : plan.fill) RunRows(rows, false, plan, &used);
  for (const auto& slice : plan.sync) RunSlice(slice, plan.sync_prices, &used);
  output->logits = {logits_.data(),
                    static_cast<int32_t>(logits_.size()) / info_.vocab_size,
                    info_.vocab_size};
  output->tokens = tokens_;
  Expect(tokens_.size() == plan.samples.size(), "samples without a row");
  Expect(output->logits.rows + static_cast<int32_t>(tokens_.size()) <=
             info_.max_logit_rows,
         "too many rows of logits");
  return absl::OkStatus();
}

void PuppetModel::RunRows(const WindowRows& rows, bool decode,
                          const StepPlan& plan, std::vector<bool>* used) {
  Slot& slot = Use(rows.slot, used);
  Expect(slot.units_left == 0, "rows in a sync");
  Expect(!rows.tokens.empty(), "no rows");
  const size_t granularity = static_cast<size_t>(info_.fill_granularity);
  const size_t begin = slot.window.size(), end = begin + rows.tokens.size();
  const size_t room = static_cast<size_t>(info_.generation_window == 0
                                              ? options_.max_context_tokens
                                              : info_.generation_window);
  Expect(end <= room, "more rows than the window holds");
  if (decode) {
    Expect(rows.tokens.size() == 1, "a decode part of several rows");
    Expect(rows.logits == WindowRows::Logits::kSample, "decode for no token");
  } else {
    Expect(rows.tokens.size() <= static_cast<size_t>(info_.max_fill_rows),
           "a fill part with too many rows");
    Expect(begin % granularity == 0, "a fill part begins off the grid");
    Expect(end % granularity == 0 || end == room ||
               rows.logits != WindowRows::Logits::kNone,
           "a fill part ends off the grid");
  }
  for (size_t i = 0; i < rows.tokens.size(); ++i) {
    slot.window.push_back(rows.tokens[i]);
    const bool last = i + 1 == rows.tokens.size();
    if (rows.logits == WindowRows::Logits::kAll ||
        (rows.logits == WindowRows::Logits::kLast && last)) {
      AddLogits(rows.slot, slot, slot.window.size());
    }
    if (rows.logits == WindowRows::Logits::kSample && last) {
      Expect(tokens_.size() < plan.samples.size(), "a row without its sample");
      if (tokens_.size() < plan.samples.size()) {
        AddToken(rows.slot, slot, plan.samples[tokens_.size()]);
      }
    }
  }
  Expect(static_cast<int64_t>(slot.history.size() + slot.window.size()) <=
             slot.max_tokens,
         "more tokens than the slot was opened for");
}

void PuppetModel::AddLogits(SlotId id, const Slot& slot, size_t window) {
  const size_t vocab = static_cast<size_t>(info_.vocab_size);
  logits_.resize(logits_.size() + vocab);
  Compute(id, slot, window, absl::MakeSpan(logits_).last(vocab));
}

void PuppetModel::AddToken(SlotId id, const Slot& slot,
                           const SampleRow& sample) {
  const int64_t tokens = Extent(id).tokens();
  Expect(sample.position == tokens, "a sample for another position");
  std::vector<float> logits(static_cast<size_t>(info_.vocab_size));
  Compute(id, slot, slot.window.size(), absl::MakeSpan(logits));
  sampler_.Sample(logits, sample, &tokens_.emplace_back());
}

void PuppetModel::Compute(SlotId id, const Slot& slot, size_t window,
                          absl::Span<float> logits) {
  if (record_rows) rows.push_back({id, slot.history, slot.window});
  logits_fn_(slot.history, absl::MakeSpan(slot.window).subspan(0, window),
             logits);
}

void PuppetModel::RunSlice(const SyncSlice& slice, const SyncPrices& prices,
                           std::vector<bool>* used) {
  Slot& slot = Use(slice.slot, used);
  Expect(slot.units_left > 0, "a slice without a sync");
  Expect(slice.cost > 0, "a slice without work");
  const auto units = static_cast<int64_t>(
      std::llround(static_cast<double>(slice.cost) / prices.product));
  Expect(slot.borrowed == absl::MakeConstSpan(slot.history),
         "a history that changed in its sync");
  slot.units_left = std::max<int64_t>(
      0, slot.units_left - std::max(units, options_.tile_units));
}

}  // namespace tlin
