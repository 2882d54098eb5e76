#include "engine/step_planner.h"

#include <algorithm>
#include <cmath>

#include "engine/step_limits.h"

namespace tlin {
namespace {

// Fills and slices have this part of a step at least, however long the decode
// rows take.
constexpr double kLeastBulk = 0.25;

// Costs before are those of a machine that does other things as well.
constexpr double kSurely = 0.5;

int64_t Nanoseconds(double seconds) {
  return std::max<int64_t>(1, std::llround(1e9 * seconds));
}

}  // namespace

StepPlanner::StepPlanner(const EngineOptions& options, ModelRunner* model)
    : model_(model),
      target_seconds_(absl::ToDoubleSeconds(options.target_step)),
      max_decode_rows_(model->info().max_decode_rows),
      scheduler_(MakeStepBounds(model->info())),
      costs_(options.first_guess) {
  runnables_.reserve(static_cast<size_t>(model->info().slots));
}

void StepPlanner::Clear() {
  runnables_.clear();
  decode_ = {};
}

void StepPlanner::Add(const Sequence& sequence) {
  const StepPrices& prices = costs_.prices();
  Runnable& runnable = runnables_.emplace_back();
  runnable.slot = sequence.slot();
  runnable.ready_step = sequence.ready_step();
  runnable.priority = sequence.request().priority;
  if (sequence.phase() == Sequence::Phase::kSyncing) {
    runnable.work = Runnable::Work::kSync;
    SyncWork work = model_->SyncWorkLeft(runnable.slot);
    runnable.begun = work.total() > 0;
    if (!runnable.begun) work = model_->SyncWorkOf(sequence.history());
    runnable.cost_left = Nanoseconds(prices.sync.CostOf(work));
    return;
  }
  runnable.rows = sequence.NextRows();
  const int64_t row_units = model_->RowUnits(sequence.fed());
  if (sequence.phase() == Sequence::Phase::kDecoding) {
    if (decode_.decode_rows == max_decode_rows_) return;
    ++decode_.decode_rows;
    decode_.decode_units += row_units;
    return;
  }
  runnable.work = Runnable::Work::kFill;
  const double row_seconds = prices.fill_unit * static_cast<double>(row_units);
  runnable.cost = Nanoseconds(row_seconds *
                              static_cast<double>(runnable.rows.tokens.size()));
  runnable.cost_left =
      Nanoseconds(row_seconds * static_cast<double>(sequence.rows_left()));
}

void StepPlanner::Plan(StepPlan* plan) {
  const double left = target_seconds_ - costs_.Seconds(decode_);
  scheduler_.Plan(runnables_,
                  Nanoseconds(std::max(left, kLeastBulk * target_seconds_)),
                  plan);
  const SyncPrices& prices = costs_.prices().sync;
  plan->sync_prices = {1e9 * prices.product, 1e9 * prices.attention};
}

SyncWork StepPlanner::SyncWorkLeft(const StepPlan& plan) const {
  SyncWork work;
  for (const SyncSlice& slice : plan.sync) {
    work += model_->SyncWorkLeft(slice.slot);
  }
  return work;
}

void StepPlanner::BeforeRun(const StepPlan& plan) {
  work_ = {};
  work_.decode_rows = static_cast<int32_t>(plan.decode.size());
  const auto units = [this](const WindowRows& rows) {
    return static_cast<int64_t>(rows.tokens.size()) *
           model_->RowUnits(model_->Extent(rows.slot).tokens());
  };
  for (const WindowRows& rows : plan.decode) work_.decode_units += units(rows);
  for (const WindowRows& rows : plan.fill) work_.fill_units += units(rows);
  sync_before_ = SyncWorkLeft(plan);
}

void StepPlanner::AfterRun(const StepPlan& plan, absl::Duration took) {
  work_.sync = sync_before_;
  work_.sync -= SyncWorkLeft(plan);
  costs_.Observe(work_, took);
}

absl::Duration StepPlanner::LeastTime(int64_t history, int64_t rows) const {
  StepWork work;
  work.sync = model_->SyncWorkOf(history);
  work.fill_units = rows * model_->RowUnits(0);
  if (!costs_.Settled(work)) return absl::ZeroDuration();
  return absl::Seconds(kSurely * costs_.Seconds(work));
}

}  // namespace tlin
