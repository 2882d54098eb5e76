// A ModelRunner without mathematics that moves when the test says so.
#ifndef TLIN_TESTS_TESTING_PUPPET_MODEL_H_
#define TLIN_TESTS_TESTING_PUPPET_MODEL_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "engine/model_runner.h"
#include "engine/sampling/sampler.h"

namespace tlin {

struct PuppetOptions {
  int32_t vocab_size = 28;
  int32_t slots = 4;
  int32_t generation_window = 8;  // 0: as the transformer
  int64_t max_context_tokens = 4096;
  int32_t max_decode_rows = 4;
  int32_t max_fill_rows = 8;
  int32_t max_logit_rows = 8;
  int32_t max_syncs = 2;
  int32_t fill_granularity = 1;
  int64_t history_tokens = 0;  // pool of all sequences; 0: no limit
  int64_t units_per_history_token = 10;
  int64_t units_per_row = 10;
  int64_t tile_units = 1;  // least work of a slice
};

// Computes the logits of one row from what the sequence saw.
using PuppetLogits = std::function<void(absl::Span<const TokenId> history,
                                        absl::Span<const TokenId> window,
                                        absl::Span<float> logits)>;

// Logits that look random and depend on every token seen and on where the
// history ends: a token in the wrong place changes the text from there on.
void HashLogits(absl::Span<const TokenId> history,
                absl::Span<const TokenId> window, absl::Span<float> logits);

// What MODEL says of a sequence: the history's length of `tokens` tokens.
int64_t HistoryOf(int64_t tokens, int32_t generation_window);

// Engine thread only but where said otherwise. Notices every breach of
// ModelRunner's contract.
class PuppetModel final : public ModelRunner {
 public:
  explicit PuppetModel(const PuppetOptions& options,
                       PuppetLogits logits = HashLogits);

  // A row of logits that was asked for.
  struct SeenRow {
    SlotId slot;
    std::vector<TokenId> history;
    std::vector<TokenId> window;
  };
  struct SeenPlan {
    std::vector<SlotId> decode, fill, sync;
    std::vector<int32_t> fill_rows;  // of each fill
    int64_t sync_cost = 0;
  };
  std::vector<SeenRow> rows;    // where record_rows
  std::vector<SeenPlan> plans;  // where record_plans
  bool record_rows = false;
  bool record_plans = false;
  std::vector<std::string> faults;  // breaches of the contract
  int64_t runs = 0;
  int64_t saves = 0;  // of states
  int64_t loads = 0;
  // Called at the start of each Run; an error fails it.
  std::function<absl::Status(const StepPlan&)> before_run;

  // Any thread: Run blocks, once it is called, until Release.
  void Block();
  void Release();
  bool WaitUntilBlocked(absl::Duration timeout = absl::Seconds(60));

  int32_t open_slots() const;

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
  int64_t RowUnits(int64_t) const override { return options_.units_per_row; }
  absl::Status Run(const StepPlan& plan, StepOutput* output) override;

 private:
  struct Slot {
    bool open = false;
    bool broken = false;  // a failed Run named it: only Close may follow
    int64_t max_tokens = 0;
    std::vector<TokenId> history;
    std::vector<TokenId> window;
    absl::Span<const TokenId> borrowed;  // of the sync in flight
    int64_t units_left = 0;
  };

  void Expect(bool condition, const std::string& fault);
  Slot& Use(SlotId slot, std::vector<bool>* used);
  void WaitForRelease();
  void Record(const StepPlan& plan);
  void CheckBounds(const StepPlan& plan);
  void RunRows(const WindowRows& rows, bool decode, const StepPlan& plan,
               std::vector<bool>* used);
  // After so many tokens of the window.
  void AddLogits(SlotId id, const Slot& slot, size_t window_tokens);
  void AddToken(SlotId id, const Slot& slot, const SampleRow& sample);
  void Compute(SlotId id, const Slot& slot, size_t window_tokens,
               absl::Span<float> logits);
  void RunSlice(const SyncSlice& slice, const SyncPrices& prices,
                std::vector<bool>* used);

  const PuppetOptions options_;
  const PuppetLogits logits_fn_;
  ModelInfo info_;
  std::vector<Slot> slots_;
  int64_t reserved_tokens_ = 0;
  std::vector<float> logits_;
  std::vector<SampledToken> tokens_;
  Sampler sampler_;

  absl::Mutex mutex_;
  bool block_ ABSL_GUARDED_BY(mutex_) = false;
  bool blocked_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace tlin

#endif  // TLIN_TESTS_TESTING_PUPPET_MODEL_H_
