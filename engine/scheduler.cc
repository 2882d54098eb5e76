#include "engine/scheduler.h"

#include <algorithm>
#include <limits>

namespace tlin {
namespace {

using Work = Runnable::Work;

// The oldest work's share of the units.
constexpr int64_t kOldestShare = 4;
// Beside other work no slice is begun for less than this part of the units: the
// model does a whole tile at least.
constexpr int64_t kSmallestSlice = 8;

struct Older {
  absl::Span<const Runnable> runnables;
  bool operator()(size_t a, size_t b) const {
    const int64_t at_a = runnables[a].ready_step,
                  at_b = runnables[b].ready_step;
    return at_a != at_b ? at_a < at_b : a < b;
  }
};

struct Shorter {
  absl::Span<const Runnable> runnables;
  bool operator()(size_t a, size_t b) const {
    const int64_t left_a = runnables[a].units_left;
    const int64_t left_b = runnables[b].units_left;
    return left_a != left_b ? left_a < left_b : a < b;
  }
};

int32_t LogitRowsOf(const WindowRows& rows) {
  switch (rows.logits) {
    case WindowRows::Logits::kNone:
      return 0;
    case WindowRows::Logits::kLast:
      return 1;
    case WindowRows::Logits::kAll:
      return static_cast<int32_t>(rows.tokens.size());
  }
  return 0;
}

}  // namespace

void Scheduler::Plan(absl::Span<const Runnable> runnables, StepPlan* plan) {
  plan->clear();
  Sort(runnables);
  PlanDecode(runnables, plan);
  ServeOldest(runnables, plan);
  ServeShortest(runnables, plan);
}

void Scheduler::Sort(absl::Span<const Runnable> runnables) {
  decode_.clear();
  bulk_.clear();
  decode_.reserve(runnables.size());
  bulk_.reserve(runnables.size());
  planned_.assign(runnables.size(), -1);
  units_left_ = bounds_.step_units;
  logit_rows_left_ = bounds_.max_logit_rows;
  syncs_in_flight_ = 0;
  shortest_in_flight_ = std::numeric_limits<int64_t>::max();
  for (size_t i = 0; i < runnables.size(); ++i) {
    const Runnable& runnable = runnables[i];
    (runnable.work == Work::kDecode ? decode_ : bulk_).push_back(i);
    if (runnable.work == Work::kSync && runnable.begun) {
      ++syncs_in_flight_;
      shortest_in_flight_ = std::min(shortest_in_flight_, runnable.units_left);
    }
  }
  std::sort(bulk_.begin(), bulk_.end(), Older{runnables});
}

void Scheduler::PlanDecode(absl::Span<const Runnable> runnables,
                           StepPlan* plan) {
  // The oldest fill that wants logits finds room for them in every step.
  int32_t reserved = 0;
  for (size_t i : bulk_) {
    if (runnables[i].work != Work::kFill) continue;
    reserved = LogitRowsOf(runnables[i].rows);
    if (reserved > 0) break;
  }
  const size_t limit = static_cast<size_t>(
      std::min(bounds_.max_decode_rows, bounds_.max_logit_rows - reserved));
  if (decode_.size() > limit) {
    std::sort(decode_.begin(), decode_.end(), Older{runnables});
    decode_.resize(limit);
  }
  for (size_t i : decode_) plan->decode.push_back(runnables[i].rows);
  logit_rows_left_ -= static_cast<int32_t>(decode_.size());
}

void Scheduler::ServeOldest(absl::Span<const Runnable> runnables,
                            StepPlan* plan) {
  const int64_t share = std::max<int64_t>(1, bounds_.step_units / kOldestShare);
  for (size_t i : bulk_) {
    if (Serve(runnables, i, share, plan)) return;
  }
}

void Scheduler::ServeShortest(absl::Span<const Runnable> runnables,
                              StepPlan* plan) {
  std::sort(bulk_.begin(), bulk_.end(), Shorter{runnables});
  for (size_t i : bulk_) {
    if (units_left_ <= 0) return;
    Serve(runnables, i, units_left_, plan);
  }
}

bool Scheduler::Serve(absl::Span<const Runnable> runnables, size_t i,
                      int64_t units, StepPlan* plan) {
  const Runnable& runnable = runnables[i];
  if (runnable.work == Work::kFill) {
    if (planned_[i] >= 0 || !ServeFill(runnable, plan)) return false;
    planned_[i] = static_cast<int32_t>(plan->fill.size()) - 1;
    return true;
  }
  if (planned_[i] >= 0) {
    SyncSlice& slice = plan->sync[static_cast<size_t>(planned_[i])];
    const int64_t more = std::min(units, runnable.units_left - slice.units);
    slice.units += more;
    units_left_ -= more;
    return true;
  }
  units = std::min(units, runnable.units_left);
  const bool other_work = !plan->fill.empty() || !plan->sync.empty();
  if (other_work && units < runnable.units_left &&
      units < bounds_.step_units / kSmallestSlice) {
    return false;
  }
  if (!runnable.begun) {
    if (!MayBegin(runnable)) return false;
    ++syncs_in_flight_;
    shortest_in_flight_ = std::min(shortest_in_flight_, runnable.units_left);
  }
  planned_[i] = static_cast<int32_t>(plan->sync.size());
  plan->sync.push_back({runnable.slot, units});
  units_left_ -= units;
  return true;
}

bool Scheduler::ServeFill(const Runnable& fill, StepPlan* plan) {
  // One part may be dearer than a step's units; then it has them all.
  const bool first = plan->fill.empty() && plan->sync.empty();
  if (!first && fill.units > units_left_) return false;
  const int32_t logit_rows = LogitRowsOf(fill.rows);
  if (logit_rows > logit_rows_left_) return false;
  logit_rows_left_ -= logit_rows;
  units_left_ -= fill.units;
  plan->fill.push_back(fill.rows);
  return true;
}

bool Scheduler::MayBegin(const Runnable& sync) const {
  const int32_t free = bounds_.max_syncs - syncs_in_flight_;
  if (free <= 0) return false;
  if (free > 1 || syncs_in_flight_ == 0) return true;
  return sync.units_left < shortest_in_flight_;
}

}  // namespace tlin
