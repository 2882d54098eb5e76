// The seam between the engine's core and the mathematics.
#ifndef TLIN_ENGINE_MODEL_RUNNER_H_
#define TLIN_ENGINE_MODEL_RUNNER_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/step_plan.h"
#include "engine/token.h"

namespace tlin {

// Constant after the model is loaded.
struct ModelInfo {
  std::string architecture;  // tlinformer, tconstformer, transformer
  std::string device;        // cpu, cuda:0
  std::string dtype;         // f32, bf16
  std::string fingerprint;   // of configuration and weights, 32 hex digits
  int64_t parameters = 0;
  int32_t vocab_size = 0;
  int32_t slots = 0;
  // Rows of the generation window; 0: no windows and no syncs (transformer).
  int32_t generation_window = 0;
  int64_t max_context_tokens = 0;  // of one sequence, prompt and new tokens
  // Bounds on one plan. Rows of a plan's decode and fill parts together that
  // want logits or a token, and rows of any one fill part.
  int32_t max_decode_rows = 0;
  int32_t max_fill_rows = 0;
  int32_t max_logit_rows = 0;
  // Syncs that may be in flight at once; each has its own workspace.
  int32_t max_syncs = 0;
  // A fill part must start and end at multiples of this many rows of the
  // window, or end at the last token that is there, so that the rows that are
  // computed together never depend on the scheduler.
  int32_t fill_granularity = 0;
};

// Bytes really allocated, by pool.
struct ModelMemory {
  int64_t weights = 0;
  int64_t session_cache = 0;        // slots * session_cache_bytes
  int64_t session_cache_bytes = 0;  // of one slot; constant
  int64_t history = 0;              // pages of growing history, all of them
  int64_t history_used = 0;         // pages that are reserved now
  int64_t workspace = 0;
  int64_t vocabulary_table = 0;
};

// How far the state in a slot has come: its sequence's first history_tokens
// tokens are compressed, the next window_tokens are in the window. (All tokens
// are in the window for the transformer.)
struct StateExtent {
  int64_t history_tokens = 0;
  int64_t window_tokens = 0;

  int64_t tokens() const { return history_tokens + window_tokens; }
  friend bool operator==(const StateExtent&, const StateExtent&) = default;
};

// One model on one device, with its slots' state. Engine thread only.
//
// Life of a slot: Open -> any of {BeginSync and slices until SyncUnitsLeft is
// 0, window rows} -> Close. Units are MFLOP by closed form.
class ModelRunner {
 public:
  virtual ~ModelRunner() = default;

  virtual const ModelInfo& info() const = 0;
  virtual ModelMemory memory() const = 0;

  // True where a sequence of `max_tokens` (prompt and new tokens) could be
  // opened if the open slots in `closed` were not: the pages of its history are
  // there. Always true of the architectures whose state is constant.
  virtual bool CanOpen(int64_t max_tokens,
                       absl::Span<const SlotId> closed = {}) const = 0;
  // True where it could be opened if nothing else were. Constant after loading:
  // thread-safe.
  virtual bool CouldEverOpen(int64_t max_tokens) const = 0;

  // Begins an empty sequence and reserves its history's pages.
  // REQUIRES: the slot is not open; CanOpen(max_tokens).
  virtual void Open(SlotId slot, int64_t max_tokens) = 0;
  // Reserves for more tokens or for fewer; the state stays.
  // REQUIRES: the slot is open, max_tokens >= Extent(slot).tokens(),
  // CanOpen(max_tokens, {slot}).
  virtual void Resize(SlotId slot, int64_t max_tokens) = 0;
  // Frees the slot at any point of its life, a sync in flight included.
  virtual void Close(SlotId slot) = 0;

  virtual StateExtent Extent(SlotId slot) const = 0;

  // Bytes of a state in host memory: a closed form, at most
  // session_cache_bytes where no history grows. INVALID_ARGUMENT where no
  // sequence of this model comes to such an extent. Thread-safe.
  virtual absl::StatusOr<int64_t> StateBytes(
      const StateExtent& extent) const = 0;
  // Copies a slot's state to host memory, and into a slot that was just opened:
  // what follows has the bits that it has without. The bytes are the same for
  // every backend of one dtype, rows of keys and values in f32 or bf16,
  // little-endian, layer by layer: the window, then the history; and they hold
  // nothing of former users of the slot. On failure the slot's state is
  // undefined until Close.
  // REQUIRES: no sync is in flight; state.size() is StateBytes(Extent(slot)).
  virtual absl::Status SaveState(SlotId slot, absl::Span<std::byte> state) = 0;
  // REQUIRES: the slot is empty and open for extent.tokens() at least;
  // state.size() is StateBytes(extent).
  virtual absl::Status LoadState(SlotId slot, const StateExtent& extent,
                                 absl::Span<const std::byte> state) = 0;

  // Begins a sync: the history becomes `history`, the window empties. Work is
  // done by slices. `history` stays where it is, unchanged, until the sync
  // ends. REQUIRES: generation_window > 0; history.size() is a positive
  // multiple of it and begins with the slot's history before, which may be kept
  // in part; fewer than max_syncs are in flight.
  virtual void BeginSync(SlotId slot, absl::Span<const TokenId> history) = 0;
  // Nothing when no sync is in flight. What is left never grows.
  virtual SyncWork SyncWorkLeft(SlotId slot) const = 0;
  int64_t SyncUnitsLeft(SlotId slot) const {
    return SyncWorkLeft(slot).total();
  }
  virtual int32_t syncs_in_flight() const = 0;

  // Closed-form cost in units.
  virtual SyncWork SyncWorkOf(int64_t history_tokens) const = 0;
  int64_t SyncUnits(int64_t history_tokens) const {
    return SyncWorkOf(history_tokens).total();
  }
  virtual int64_t RowUnits(int64_t context_tokens) const = 0;

  // Runs the plan; `output` is valid until the next call. On failure the state
  // of every slot named in the plan is undefined until Close; other slots are
  // as they were.
  // REQUIRES: slots are open, in at most one part each, and not in a sync
  // unless the part is a slice of it; the bounds in info() hold.
  virtual absl::Status Run(const StepPlan& plan, StepOutput* output) = 0;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_MODEL_RUNNER_H_
