// From the sequences that hold slots to the plan of a step that takes about as
// long as it should.
#ifndef TLIN_ENGINE_STEP_PLANNER_H_
#define TLIN_ENGINE_STEP_PLANNER_H_

#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "engine/model_runner.h"
#include "engine/options.h"
#include "engine/scheduler.h"
#include "engine/sequence.h"
#include "engine/step_costs.h"
#include "engine/step_plan.h"

namespace tlin {

// A step is to last `target_step`. All that decode have their row in it; what
// that leaves, as the costs of the steps before tell, is for fills and sync
// slices, and a part of the step always is, so that they get on. Engine thread
// only; a warm step takes nothing from the heap.
class StepPlanner {
 public:
  // `model` outlives the planner.
  StepPlanner(const EngineOptions& options, ModelRunner* model);

  // A step: Clear, Add for each sequence that may run, then Plan.
  void Clear();
  void Add(const Sequence& sequence);
  // Fills `plan`, which is not empty unless nothing was added. A slice of a
  // sync that is not begun means: begin it.
  void Plan(StepPlan* plan);
  // The syncs of the plan are begun: what the step is to do.
  void BeforeRun(const StepPlan& plan);
  // The step was done, and lasted so long.
  void AfterRun(const StepPlan& plan, absl::Duration took);

  // The least that a request takes to its first token on this machine, were it
  // alone; zero while the costs are not known. With a sync of `history` tokens,
  // or without (0), then `rows` of the window.
  absl::Duration LeastTime(int64_t history, int64_t rows) const;

  const StepCosts& costs() const { return costs_; }

 private:
  int64_t DecodeUnits(const WindowRows& rows, int64_t context) const;
  SyncWork SyncWorkLeft(const StepPlan& plan) const;

  // Constant after construction.
  ModelRunner* const model_;
  const double target_seconds_;
  const int32_t max_decode_rows_;

  Scheduler scheduler_;
  StepCosts costs_;

  // Of the step: costs are in nanoseconds.
  std::vector<Runnable> runnables_;
  StepWork decode_;  // of all that decode
  StepWork work_;    // of the plan
  SyncWork sync_before_;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_STEP_PLANNER_H_
