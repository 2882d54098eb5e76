#include "engine/model/model.h"

#include <algorithm>
#include <limits>
#include <new>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"
#include "engine/model/cost_model.h"

namespace tlin {
namespace {

// Logits of scored sequences come in portions of this many rows.
constexpr int32_t kScoreRows = 64;

int32_t MaxDecodeRows(const ModelOptions& options) { return options.slots; }

int32_t QueryRows(const ModelConfig& config, const ModelOptions& options) {
  return static_cast<int32_t>(
      std::max<int64_t>(1, config.HistoryWindow(options.max_context_tokens)));
}

absl::Status CheckOptions(const ModelOptions& options) {
  const auto check = [](const char* name, int64_t value, int64_t least,
                        int64_t most) {
    if (value >= least && value <= most) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat(name, " is ", value, ": want ", least, " to ", most));
  };
  // Positions are 32-bit. Sizes stay within 64 bits with any ModelConfig.
  TLIN_RETURN_IF_ERROR(check("slots", options.slots, 1, 1 << 12));
  TLIN_RETURN_IF_ERROR(check("max_context_tokens", options.max_context_tokens,
                             1, std::numeric_limits<int32_t>::max()));
  TLIN_RETURN_IF_ERROR(check("history_tokens", options.history_tokens, 0,
                             std::numeric_limits<int32_t>::max()));
  return check("max_syncs", options.max_syncs, 1, 1 << 8);
}

}  // namespace

BackendShape MakeBackendShape(const ModelConfig& config,
                              const ModelOptions& options) {
  BackendShape shape;
  shape.n_embd = config.n_embd;
  shape.n_head = config.n_head;
  shape.ffn_size = config.ffn_size();
  shape.vocab_size = config.vocab_size;
  shape.max_rows =
      std::max({kTileRows, MaxDecodeRows(options), QueryRows(config, options)});
  shape.max_logit_rows = std::max(kScoreRows, MaxDecodeRows(options));
  shape.layers = config.layers();
  if (HistoryLayers(config) > 0) {
    shape.growing_layers = HistoryLayers(config);
    shape.max_blocks =
        HistoryPages(config, options.history_tokens) + options.slots;
  }
  return shape;
}

absl::StatusOr<std::unique_ptr<Model>> Model::Create(
    const ModelConfig& config, const ModelOptions& options,
    ModelWeights weights, std::unique_ptr<Backend> backend) {
  TLIN_RETURN_IF_ERROR(CheckOptions(options));
  std::unique_ptr<Model> model(
      new Model(config, options, std::move(weights), std::move(backend)));
  TLIN_ASSIGN_OR_RETURN(
      model->cache_,
      StateCache::Create(config, options.slots, options.max_context_tokens,
                         options.history_tokens, model->backend_.get()));
  TLIN_RETURN_IF_ERROR(model->AllocateWorkspace());
  TLIN_RETURN_IF_ERROR(model->MakeVocabularyTable());
  return model;
}

Model::Model(const ModelConfig& config, const ModelOptions& options,
             ModelWeights weights, std::unique_ptr<Backend> backend)
    : config_(config),
      options_(options),
      backend_(std::move(backend)),
      weights_(std::move(weights)),
      slots_(static_cast<size_t>(options.slots)) {
  const BackendShape& shape = backend_->shape();
  info_.architecture = ArchitectureName(config.architecture);
  info_.device = backend_->name();
  info_.dtype = DTypeName(backend_->dtype());
  info_.fingerprint = weights_.fingerprint;
  info_.parameters = config.ParameterCount();
  info_.vocab_size = config.vocab_size;
  info_.slots = options.slots;
  info_.generation_window = config.generation_window;
  info_.max_context_tokens = options.max_context_tokens;
  info_.max_decode_rows = MaxDecodeRows(options);
  info_.max_fill_rows = kTileRows;
  info_.max_logit_rows = shape.max_logit_rows;
  info_.max_syncs = config.has_windows() ? options.max_syncs : 0;
  // The backend's rows are independent: a fill may be cut anywhere.
  info_.fill_granularity = 1;
}

absl::Status Model::AllocateWorkspace() {
  const BackendShape& shape = backend_->shape();
  std::vector<std::unique_ptr<DeviceBuffer>*> rows_of_calls = {&x_, &q_,
                                                               &attended_};
  if (info_.max_syncs > 0) {
    rows_of_calls.insert(rows_of_calls.end(),
                         {&sync_x_, &sync_q_, &sync_attended_});
  }
  for (std::unique_ptr<DeviceBuffer>* buffer : rows_of_calls) {
    TLIN_ASSIGN_OR_RETURN(*buffer,
                          backend_->Allocate(RowsBytes(shape.max_rows)));
  }
  TLIN_ASSIGN_OR_RETURN(
      tile_, backend_->Allocate(
                 KvBlockBytes(kTileRows, config_.n_embd, backend_->dtype())));
  const int32_t queries = QueryRows(config_, options_);
  for (int32_t i = 0; i < info_.max_syncs; ++i) {
    SyncWorkspace workspace;
    TLIN_ASSIGN_OR_RETURN(workspace.queries,
                          backend_->Allocate(RowsBytes(queries)));
    TLIN_ASSIGN_OR_RETURN(workspace.rows,
                          backend_->Allocate(RowsBytes(queries)));
    TLIN_ASSIGN_OR_RETURN(workspace.partial,
                          backend_->Allocate(backend_->PartialBytes(queries)));
    sync_workspaces_.push_back(std::move(workspace));
  }
  if (config_.derived_history &&
      config_.architecture == Architecture::kTLinFormer) {
    TLIN_ASSIGN_OR_RETURN(history_tile_, backend_->Allocate(tile_->size()));
    TLIN_ASSIGN_OR_RETURN(
        history_partial_,
        backend_->Allocate(backend_->PartialBytes(kTileRows)));
  }
  const auto rows = static_cast<size_t>(shape.max_rows);
  tokens_.resize(rows);
  positions_.resize(rows);
  run_positions_.resize(rows);
  kv_rows_.resize(rows);
  window_parts_.resize(rows);
  window_blocks_.resize(rows);
  history_blocks_.resize(rows);
  logit_rows_.reserve(static_cast<size_t>(shape.max_logit_rows));
  sample_rows_.reserve(static_cast<size_t>(shape.max_logit_rows));
  tokens_chosen_.resize(static_cast<size_t>(shape.max_logit_rows));
  logits_size_ = int64_t{shape.max_logit_rows} * config_.vocab_size;
  logits_.reset(new (std::nothrow) float[static_cast<size_t>(logits_size_)]);
  if (logits_ == nullptr) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no memory for ", logits_size_, " logits"));
  }
  return absl::OkStatus();
}

absl::Status Model::MakeVocabularyTable() {
  if (!config_.derived_history) return absl::OkStatus();
  const int64_t bytes = VocabularyTableBytes(config_);
  auto table = backend_->Allocate(bytes);
  if (!table.ok()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("--derived_history: no memory for a vocabulary table of ",
                     bytes, " bytes"));
  }
  table_ = *std::move(table);
  for (TokenId first = 0; first < config_.vocab_size; first += kTileRows) {
    const int32_t rows = std::min(kTileRows, config_.vocab_size - first);
    const auto ids = absl::MakeSpan(tokens_).first(rows);
    std::iota(ids.begin(), ids.end(), first);
    const Rows x = RowsOf(x_, rows);
    backend_->Embed(*weights_.embedding, ids, x);
    backend_->ProjectUnrotated(layer(0, 0), x,
                               reinterpret_cast<float*>(table_->data()) +
                                   int64_t{first} * 3 * config_.n_embd);
  }
  return backend_->Synchronize();
}

ModelMemory Model::memory() const {
  ModelMemory memory;
  memory.weights = weights_.bytes();
  memory.session_cache = cache_->slots_bytes();
  memory.session_cache_bytes = cache_->slot_bytes();
  memory.history = cache_->pages_bytes();
  memory.history_used = cache_->pages_used_bytes();
  memory.workspace = backend_->workspace_bytes() + x_->size() + q_->size() +
                     attended_->size() + tile_->size() +
                     logits_size_ * static_cast<int64_t>(sizeof(float));
  if (sync_x_ != nullptr) memory.workspace += 3 * sync_x_->size();
  if (table_ != nullptr) memory.vocabulary_table = table_->size();
  if (history_partial_ != nullptr) {
    memory.workspace += history_partial_->size() + history_tile_->size();
  }
  for (const SyncWorkspace& workspace : sync_workspaces_) {
    memory.workspace += workspace.queries->size() + workspace.rows->size() +
                        workspace.partial->size();
  }
  return memory;
}

bool Model::CanOpen(int64_t max_tokens, absl::Span<const SlotId> closed) const {
  return cache_->CanReserve(max_tokens, closed);
}

bool Model::CouldEverOpen(int64_t max_tokens) const {
  return cache_->CouldEverReserve(max_tokens);
}

void Model::Open(SlotId slot, int64_t max_tokens) {
  TLIN_CHECK(!slots_[slot].open);
  cache_->Reserve(slot, max_tokens);
  slots_[slot].open = true;
}

void Model::Resize(SlotId slot, int64_t max_tokens) {
  TLIN_CHECK(slots_[slot].open && max_tokens >= Extent(slot).tokens());
  cache_->Reserve(slot, max_tokens);
}

void Model::Close(SlotId slot) {
  TLIN_CHECK(slots_[slot].open);
  if (slots_[slot].sync.has_value()) {
    sync_workspaces_[slots_[slot].sync_workspace].in_use = false;
  }
  cache_->Release(slot);
  slots_[slot] = Slot();
}

StateExtent Model::Extent(SlotId slot) const {
  return {slots_[slot].history_tokens, slots_[slot].window_tokens};
}

void Model::BeginSync(SlotId slot, absl::Span<const TokenId> history) {
  Slot& state = slots_[slot];
  TLIN_CHECK(state.open && !state.sync.has_value());
  TLIN_CHECK(config_.has_windows() && !history.empty() &&
             history.size() % config_.generation_window == 0);
  const auto free = std::find_if(
      sync_workspaces_.begin(), sync_workspaces_.end(),
      [](const SyncWorkspace& workspace) { return !workspace.in_use; });
  TLIN_CHECK(free != sync_workspaces_.end());
  free->in_use = true;
  state.sync_workspace = static_cast<int32_t>(free - sync_workspaces_.begin());
  const auto history_tokens = static_cast<int64_t>(history.size());
  state.sync.emplace(config_, history_tokens, state.kept_tokens,
                     CarriedTokens(state, history_tokens));
  state.sync_tokens = history;
  state.history_tokens = history_tokens;
  state.carried_from = state.sync->first_query();
  state.compressed_rows = state.sync->queries();
  state.window_tokens = 0;
}

SyncWork Model::SyncWorkLeft(SlotId slot) const {
  return slots_[slot].sync.has_value() ? slots_[slot].sync->work_left()
                                       : SyncWork();
}

int32_t Model::syncs_in_flight() const {
  return static_cast<int32_t>(std::count_if(
      sync_workspaces_.begin(), sync_workspaces_.end(),
      [](const SyncWorkspace& workspace) { return workspace.in_use; }));
}

SyncWork Model::SyncWorkOf(int64_t history_tokens) const {
  return history_tokens == 0 ? SyncWork()
                             : SyncJob(config_, history_tokens, 0).work_left();
}

int64_t Model::RowUnits(int64_t context_tokens) const {
  return std::max<int64_t>(
      1, static_cast<int64_t>(RowFlops(config_, context_tokens) / 1e6));
}

absl::Status Model::Run(const StepPlan& plan, StepOutput* output) {
  output->logits = {logits_.get(), 0, config_.vocab_size};
  output->tokens = {};
  if (!plan.decode.empty()) RunWindowRows(plan.decode, plan.samples, output);
  for (const WindowRows& part : plan.fill) {
    RunWindowRows(
        absl::MakeConstSpan(&part, 1),
        absl::MakeConstSpan(plan.samples).subspan(output->tokens.size()),
        output);
  }
  backend_->SetBackground(true);
  for (const SyncSlice& slice : plan.sync) RunSlice(slice, plan.sync_prices);
  backend_->SetBackground(false);
  return backend_->Synchronize();
}

}  // namespace tlin
