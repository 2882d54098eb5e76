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
  int64_t units = 0;       // of `rows`, where work is a fill
  int64_t units_left = 0;  // of the whole fill, or of the sync
  bool begun = false;      // a sync that is in flight already
  // The step in which this work became ready: the older goes sooner.
  int64_t ready_step = 0;
};

struct StepBounds {
  int32_t max_decode_rows = 1;
  int32_t max_logit_rows = 1;
  int32_t max_syncs = 0;
  // Of fills and sync slices in one step, beside the decode rows.
  int64_t step_units = 1;
};

// Pure: a plan depends on the arguments alone; members are scratch, kept so
// that a step allocates nothing.
//
// Decode rows come first: all of them, or the longest waiting where they are
// too many. Of the units a quarter goes to the oldest fill or sync, so that
// none starves; the rest to what has least left to do, so that a short one
// never waits for a long one. For the same reason the last of several sync
// workspaces goes only to a sync shorter than all in flight. Engine thread
// only.
class Scheduler {
 public:
  explicit Scheduler(const StepBounds& bounds) : bounds_(bounds) {}

  // Fills `plan`, which is not empty unless `runnables` is. A slice of a sync
  // that is not begun means: begin it now. REQUIRES: slots are distinct; no
  // fill wants more than max_logit_rows - 1 rows of logits; every sync in
  // flight is named.
  void Plan(absl::Span<const Runnable> runnables, StepPlan* plan);

 private:
  void Sort(absl::Span<const Runnable> runnables);
  void PlanDecode(absl::Span<const Runnable> runnables, StepPlan* plan);
  void ServeOldest(absl::Span<const Runnable> runnables, StepPlan* plan);
  void ServeShortest(absl::Span<const Runnable> runnables, StepPlan* plan);
  // Adds work of runnables[i] for at most `units`, which are more than 0; false
  // where it cannot run in this step.
  bool Serve(absl::Span<const Runnable> runnables, size_t i, int64_t units,
             StepPlan* plan);
  bool ServeFill(const Runnable& fill, StepPlan* plan);
  bool MayBegin(const Runnable& sync) const;

  const StepBounds bounds_;

  // Of the plan being made.
  std::vector<size_t> decode_;  // indices into runnables
  std::vector<size_t> bulk_;    // fills and syncs
  std::vector<int32_t>
      planned_;  // [runnables] index in its part of the plan, or -1
  int64_t units_left_ = 0;
  int32_t logit_rows_left_ = 0;
  int32_t syncs_in_flight_ = 0;
  int64_t shortest_in_flight_ = 0;  // units left
};

}  // namespace tlin

#endif  // TLIN_ENGINE_SCHEDULER_H_
