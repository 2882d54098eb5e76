// What the engine's thread does, one step at a time.
#ifndef TLIN_ENGINE_ENGINE_LOOP_H_
#define TLIN_ENGINE_ENGINE_LOOP_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/admission_queue.h"
#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/committer.h"
#include "engine/ending.h"
#include "engine/inbox.h"
#include "engine/listener.h"
#include "engine/model_runner.h"
#include "engine/options.h"
#include "engine/prefix_sharing.h"
#include "engine/sequence.h"
#include "engine/session_keeper.h"
#include "engine/session_leases.h"
#include "engine/slot_pool.h"
#include "engine/step_plan.h"
#include "engine/step_planner.h"
#include "engine/ticket.h"
#include "engine/tokenizer/tokenizer.h"

namespace tlin {

// Owns all mutable state of the engine but the inbox. Engine thread only, but
// where a function says otherwise.
class EngineLoop {
 public:
  // All pointers outlive the loop; `tokenizer` may be null.
  EngineLoop(const EngineOptions& options, ModelRunner* model,
             const Tokenizer* tokenizer, std::optional<TokenId> eos_token_id,
             EngineListener* listener, Clock* clock, Logger* logger,
             Inbox* inbox);

  // Before the first step: see SessionKeeper.
  void UseShelf(SessionShelf* shelf, bool shared = false) {
    sessions_.UseShelf(shelf, shared);
    if (shared) leases_.UseShelf(shelf);
  }
  absl::Status Restore(const std::string& id, SnapshotHead head) {
    return sessions_.Restore(id, std::move(head));
  }

  // Runs the commands and queues the tickets, then: Plan, Run, Commit.
  void Step(Inbox::Mail* mail);
  // Ends the tickets and all that waits or runs with `status`; commands run.
  void EndAll(Inbox::Mail* mail, const absl::Status& status);

  // There is something to do without new tickets.
  bool busy() const {
    return !active_.empty() || queue_.size() > sessions_.loading();
  }

  // How long a request holds its slot, on average; zero before any has ended.
  // Thread-safe.
  absl::Duration AverageHold() const;

  const SlotPool& slots() const { return sessions_.slots(); }
  const SessionKeeper& sessions() const { return sessions_; }

 private:
  // Plan: who ended meanwhile, who gets a slot, who runs.
  void Plan();
  void RunCommands(Inbox::Mail* mail);
  void Enqueue(Inbox::Mail* mail);
  // Once the lease of its session is there; `leased`: or why it is not.
  void EnqueueOne(Ticket ticket, const absl::Status& leased);
  // The lease of its session is over: it must say nothing more.
  static bool LeaseIsOver(const Sequence& sequence, absl::Time now) {
    return sequence.session() != nullptr &&
           now >= sequence.session()->lease_until;
  }
  void EndOverdue(absl::Time now);
  // DEADLINE_EXCEEDED where it cannot be met even if nobody else were here.
  absl::Status CheckDeadline(const Sequence& sequence) const;
  // Set where the sequence has been cancelled or its time is over.
  std::optional<Ending> OverdueEnding(const Sequence& sequence,
                                      absl::Time now) const;
  void Admit(absl::Time now);
  static void TellStarted(const Sequence& sequence);
  void BeginSyncs();

  // How the tokens that the plan wants are chosen.
  void AddSamples();

  // What of a step's output is committed.
  struct Committed {
    int32_t logit_rows = 0;
    size_t tokens = 0;
  };
  void Commit(const absl::Status& status, const StepOutput& output);
  void CommitRows(const WindowRows& rows, const StepOutput& output,
                  absl::Time now, Committed* committed);
  void CommitSlice(const SyncSlice& slice);
  void FailPlan(const absl::Status& status);
  void TellOfStep(absl::Duration duration);

  // Frees what the sequence holds, then sends its one terminal event.
  // `run_failed`: what the model did to its slot is not known.
  void End(const Ending& ending, Sequence* sequence, bool run_failed = false);
  void ForgetEnded();
  void TellState(absl::Time now);
  // After TellState: who waits until idle then finds the state told.
  void TellEnded();

  Sequence* At(SlotId slot) { return by_slot_[static_cast<size_t>(slot)]; }

  // Constant after construction.
  ModelRunner* const model_;
  const Tokenizer* const tokenizer_;
  const std::optional<TokenId> eos_token_id_;
  EngineListener* const listener_;
  Clock* const clock_;
  Logger* const logger_;
  Inbox* const inbox_;
  const FillShape shape_;

  SessionKeeper sessions_;  // outlives the sequences, which hold its slots
  PrefixSharing sharing_;
  SessionLeases leases_;
  AdmissionQueue queue_;
  std::vector<std::unique_ptr<Sequence>> active_;  // hold a slot
  std::vector<Sequence*> by_slot_;                 // [slots]
  StepPlanner planner_;
  Committer committer_;
  int64_t step_ = 0;

  // Of the step being run.
  StepPlan plan_;
  int64_t cache_hits_ = 0;
  std::vector<std::string> ended_ids_;

  // Written by the engine thread alone.
  std::atomic<int64_t> average_hold_ns_{0};
};

}  // namespace tlin

#endif  // TLIN_ENGINE_ENGINE_LOOP_H_
