#include "engine/model/sync_job.h"

#include <algorithm>

#include "engine/base/check.h"
#include "engine/model/cost_model.h"

namespace tlin {

SyncJob::SyncJob(const ModelConfig& config, int64_t history_tokens,
                 int64_t kept_tokens, int64_t carried_tokens)
    : config_(config),
      history_tokens_(history_tokens),
      queries_(config.CompressedRows(history_tokens)),
      kept_tokens_(kept_tokens),
      carried_tokens_(carried_tokens) {
  TLIN_CHECK(config.has_windows() && history_tokens >= 1);
  TLIN_CHECK(carried_tokens % kTileRows == 0 &&
             carried_tokens < history_tokens);
  SetTile(SyncStep::Stage::kQueries, first_query());
  for (; !done(); NextStep()) work_left_ += step_work();
  step_ = SyncStep();
  SetTile(SyncStep::Stage::kQueries, first_query());
}

int32_t SyncJob::rows_to_read() const {
  if (step_.stage == SyncStep::Stage::kQueries) return step_.rows;
  if (step_.keys_kept || step_.looked_up) return 0;
  return static_cast<int32_t>(
      std::clamp<int64_t>(first_query() - step_.position, 0, step_.rows));
}

SyncWork SyncJob::step_work() const {
  const double d = config_.n_embd;
  const double projection = 2 * d * d;
  const double attention = 4 * d * static_cast<double>(queries_);
  const double finish = projection + 6 * d * config_.ffn_size();
  // Of a row: products, and whether it attends to all queries.
  double row_products = 0;
  bool attends = true;
  switch (step_.stage) {
    case SyncStep::Stage::kQueries:
      row_products = step_.looked_up ? 0 : projection;
      attends = false;
      break;
    case SyncStep::Stage::kStream:
      row_products = step_.keys_kept || step_.looked_up ? 0 : 2 * projection;
      break;
    case SyncStep::Stage::kLayer:
      if (step_.layer == 0) {
        row_products = finish;
        attends = false;
      } else if (step_.layer < config_.block_depth - 1) {
        row_products = 3 * projection + finish;
      } else {
        row_products = 2 * projection;
        attends = false;
      }
      break;
  }
  // A row of this block's input is read through the restore layers before it.
  const double inputs = step_.stage == SyncStep::Stage::kLayer
                            ? 0
                            : static_cast<double>(step_.block) * rows_to_read();
  double products = row_products * step_.rows + inputs * (projection + finish);
  if (config_.derived_history && inputs > 0) {
    products -= rows_to_read() * projection;
  }
  const double attended = attention * ((attends ? step_.rows : 0) + inputs);
  SyncWork work = {static_cast<int64_t>(products / 1e6),
                   static_cast<int64_t>(attended / 1e6)};
  if (work.total() == 0) work.products = 1;
  return work;
}

void SyncJob::Advance() {
  work_left_ -= step_work();
  NextStep();
}

void SyncJob::SetTile(SyncStep::Stage stage, int64_t position) {
  const int64_t end =
      std::min(history_tokens_, (position / kTileRows + 1) * kTileRows);
  step_.stage = stage;
  step_.position = position;
  step_.rows = static_cast<int32_t>(end - position);
  step_.keys_kept = stage == SyncStep::Stage::kStream && step_.block == 0 &&
                    end <= kept_tokens_;
  step_.looked_up = config_.derived_history && step_.block == 0;
}

void SyncJob::NextStep() {
  const int64_t next = step_.position + step_.rows;
  switch (step_.stage) {
    case SyncStep::Stage::kQueries:
      if (next < history_tokens_) {
        SetTile(SyncStep::Stage::kQueries, next);
      } else {
        SetTile(SyncStep::Stage::kStream,
                step_.block == 0 ? carried_tokens_ : 0);
      }
      return;
    case SyncStep::Stage::kStream:
      if (next < history_tokens_) {
        SetTile(SyncStep::Stage::kStream, next);
      } else {
        step_.stage = SyncStep::Stage::kLayer;
        step_.layer = 0;
        step_.position = first_query();
        step_.rows = static_cast<int32_t>(queries_);
      }
      return;
    case SyncStep::Stage::kLayer:
      if (step_.layer + 1 < config_.block_depth) {
        ++step_.layer;
      } else {
        ++step_.block;
        step_.layer = 0;
        SetTile(SyncStep::Stage::kQueries, first_query());
      }
      return;
  }
}

}  // namespace tlin
