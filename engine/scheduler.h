// Which work of which sequence runs in the next step.
#ifndef TLIN_ENGINE_SCHEDULER_H_
#define TLIN_ENGINE_SCHEDULER_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "engine/step_plan.h"

namespace tlin {

// What a sequence with a slot could run next.
struct Runnable {
  enum class Work { kDecode, kFill, kSync };

  Work work = Work::kDecode;
  WindowRows rows;  // decode and fill
  SlotId slot = 0;
  int64_t cost = 0;       // of `rows`, where work is a fill
  int64_t cost_left = 0;  // of the whole fill, or of the sync
  bool begun = false;     // a sync that is in flight already
  int32_t priority = 0;   // higher goes sooner
  // The step in which this work became ready: the older goes sooner.
  int64_t ready_step = 0;
};

struct StepBounds {
  int32_t max_decode_rows = 1;
  int32_t max_logit_rows = 1;
  int32_t max_syncs = 0;
  int32_t fill_granularity = 1;  // as in ModelInfo
};

// Pure: a plan depends on the arguments alone; members are scratch, kept so
// that a step allocates nothing. Costs are in any one unit.
//
// Decode rows come first: all of them, or the longest waiting where they are
// too many. Fills and sync slices share a budget beside them: a quarter goes to
// the oldest, so that none starves; the rest to the highest priority, and there
// to what has least left to do, so that a short one never waits for a long one.
// For the same reason the last of several sync workspaces goes only to a sync
// that comes before all in flight in that order. Engine thread only.
class Scheduler {
 public:
  explicit Scheduler(const StepBounds& bounds) : bounds_(bounds) {}

  // Fills `plan`, which is not empty unless `runnables` is. Of a fill as many
  // rows run as `budget` pays for. A slice of a
  // sync that is not begun means: begin it now. REQUIRES: slots are distinct;
  // no fill wants more than max_logit_rows - 1 rows of logits; every sync in
  // flight is named; budget > 0.
  void Plan(absl::Span<const Runnable> runnables, int64_t budget,
            StepPlan* plan);

 private:
  void Sort(absl::Span<const Runnable> runnables);
  void PlanDecode(absl::Span<const Runnable> runnables, StepPlan* plan);
  void ServeOldest(absl::Span<const Runnable> runnables, StepPlan* plan);
  void ServeShortest(absl::Span<const Runnable> runnables, StepPlan* plan);
  // Adds work of runnables[i] for at most `cost`, which is more than 0, or one
  // indivisible piece where nothing else is there; false where it cannot run in
  // this step.
  bool Serve(absl::Span<const Runnable> runnables, size_t i, int64_t cost,
             StepPlan* plan);
  bool ServeFill(const Runnable& fill, int64_t cost, int32_t* planned,
                 StepPlan* plan);
  void InFlight(const Runnable& sync);
  bool MayBegin(const Runnable& sync) const;
  // Beside other work the model's smallest piece may be dearer than this.
  bool TooSmall(int64_t cost, const StepPlan& plan) const;

  const StepBounds bounds_;

  // Of the plan being made.
  std::vector<size_t> decode_;  // indices into runnables
  std::vector<size_t> bulk_;    // fills and syncs
  std::vector<int32_t>
      planned_;  // [runnables] index in its part of the plan, or -1
  int64_t budget_ = 0;
  int64_t budget_left_ = 0;
  int32_t logit_rows_left_ = 0;
  int32_t syncs_in_flight_ = 0;
  const Runnable* first_in_flight_ = nullptr;  // in the order of Sooner
};

}  // namespace tlin

#endif  // TLIN_ENGINE_SCHEDULER_H_
