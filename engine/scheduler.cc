#include "engine/scheduler.h"

#include <algorithm>
#include <limits>

namespace tlin {
namespace {

using Work = Runnable::Work;

// The oldest work's share of the budget.
constexpr int64_t kOldestShare = 4;
// Beside other work nothing is begun for less than this part of the budget: the
// model does a whole tile at least.
constexpr int64_t kSmallestPiece = 8;

struct Older {
  absl::Span<const Runnable> runnables;
  bool operator()(size_t a, size_t b) const {
    const int64_t at_a = runnables[a].ready_step,
                  at_b = runnables[b].ready_step;
    return at_a != at_b ? at_a < at_b : a < b;
  }
};

bool Sooner(const Runnable& a, const Runnable& b) {
  return a.priority != b.priority ? a.priority > b.priority
                                  : a.cost_left < b.cost_left;
}

int32_t LogitRowsOf(const WindowRows& rows) {
  switch (rows.logits) {
    case WindowRows::Logits::kNone:
      return 0;
    case WindowRows::Logits::kSample:
    case WindowRows::Logits::kLast:
      return 1;
    case WindowRows::Logits::kAll:
      return static_cast<int32_t>(rows.tokens.size());
  }
  return 0;
}

}  // namespace

void Scheduler::Plan(absl::Span<const Runnable> runnables, int64_t budget,
                     StepPlan* plan) {
  plan->clear();
  budget_ = budget;
  budget_left_ = budget;
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
  logit_rows_left_ = bounds_.max_logit_rows;
  syncs_in_flight_ = 0;
  first_in_flight_ = nullptr;
  for (size_t i = 0; i < runnables.size(); ++i) {
    const Runnable& runnable = runnables[i];
    (runnable.work == Work::kDecode ? decode_ : bulk_).push_back(i);
    if (runnable.work == Work::kSync && runnable.begun) InFlight(runnable);
  }
  std::sort(bulk_.begin(), bulk_.end(), Older{runnables});
}

void Scheduler::InFlight(const Runnable& sync) {
  ++syncs_in_flight_;
  if (first_in_flight_ == nullptr || Sooner(sync, *first_in_flight_)) {
    first_in_flight_ = &sync;
  }
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
  const int64_t share = std::max<int64_t>(1, budget_ / kOldestShare);
  for (size_t i : bulk_) {
    if (Serve(runnables, i, share, plan)) return;
  }
}

void Scheduler::ServeShortest(absl::Span<const Runnable> runnables,
                              StepPlan* plan) {
  std::sort(bulk_.begin(), bulk_.end(), [&](size_t a, size_t b) {
    if (Sooner(runnables[a], runnables[b])) return true;
    return !Sooner(runnables[b], runnables[a]) && a < b;
  });
  for (size_t i : bulk_) {
    if (budget_left_ <= 0) return;
    Serve(runnables, i, budget_left_, plan);
  }
}

bool Scheduler::TooSmall(int64_t cost, const StepPlan& plan) const {
  const bool other_work = !plan.fill.empty() || !plan.sync.empty();
  return other_work && cost < budget_ / kSmallestPiece;
}

bool Scheduler::Serve(absl::Span<const Runnable> runnables, size_t i,
                      int64_t cost, StepPlan* plan) {
  const Runnable& runnable = runnables[i];
  if (runnable.work == Work::kFill) {
    return ServeFill(runnable, cost, &planned_[i], plan);
  }
  if (planned_[i] >= 0) {
    SyncSlice& slice = plan->sync[static_cast<size_t>(planned_[i])];
    const int64_t more = std::min(cost, runnable.cost_left - slice.cost);
    slice.cost += more;
    budget_left_ -= more;
    return true;
  }
  cost = std::min(cost, runnable.cost_left);
  if (cost < runnable.cost_left && TooSmall(cost, *plan)) return false;
  if (!runnable.begun) {
    if (!MayBegin(runnable)) return false;
    InFlight(runnable);
  }
  planned_[i] = static_cast<int32_t>(plan->sync.size());
  plan->sync.push_back({runnable.slot, cost});
  budget_left_ -= cost;
  return true;
}

bool Scheduler::ServeFill(const Runnable& fill, int64_t cost, int32_t* planned,
                          StepPlan* plan) {
  const auto all = static_cast<int64_t>(fill.rows.tokens.size());
  const int64_t row_cost = std::max<int64_t>(1, (fill.cost + all - 1) / all);
  WindowRows* const part =
      *planned < 0 ? nullptr : &plan->fill[static_cast<size_t>(*planned)];
  const int64_t had =
      part == nullptr ? 0 : static_cast<int64_t>(part->tokens.size());
  int64_t rows = std::min(all, had + cost / row_cost);
  if (fill.rows.logits == WindowRows::Logits::kAll) {
    rows = std::min<int64_t>(rows, had + logit_rows_left_);
  }
  if (rows < all) {
    rows -= rows % bounds_.fill_granularity;
    if (part == nullptr && TooSmall(cost, *plan)) return false;
  }
  if (rows <= had) {
    // One piece may be dearer than all that there is.
    if (!plan->fill.empty() || !plan->sync.empty()) return false;
    rows = std::min<int64_t>(all, bounds_.fill_granularity);
  }
  WindowRows served = fill.rows;
  served.tokens = served.tokens.subspan(0, static_cast<size_t>(rows));
  if (rows < all && served.logits == WindowRows::Logits::kSample) {
    served.logits = WindowRows::Logits::kNone;
  }
  const int32_t logit_rows =
      LogitRowsOf(served) - (part == nullptr ? 0 : LogitRowsOf(*part));
  if (logit_rows > logit_rows_left_) return false;
  logit_rows_left_ -= logit_rows;
  budget_left_ -= (rows - had) * row_cost;
  if (part != nullptr) {
    *part = served;
  } else {
    *planned = static_cast<int32_t>(plan->fill.size());
    plan->fill.push_back(served);
  }
  return true;
}

bool Scheduler::MayBegin(const Runnable& sync) const {
  const int32_t free = bounds_.max_syncs - syncs_in_flight_;
  if (free <= 0) return false;
  if (free > 1 || syncs_in_flight_ == 0) return true;
  return Sooner(sync, *first_in_flight_);
}

}  // namespace tlin
