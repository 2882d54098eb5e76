// A sync as a list of small steps that can be counted beforehand and run in any
// portions. Pure: the mathematics of a step is the model's.
//
// For each block, in order (MODEL: "One block"):
//
// * kQueries: tiles over the last W_oh positions. Their rows of the block's
//   input and their queries.
// * kStream: tiles over the whole history. Keys and values, met by the queries.
//   Rows that kQueries read are not read again. In the first block from where
//   carried partials end.
// * kLayer: one step a layer. Compress is finished, the hidden layers run, the
//   restore layer's keys and values are made.
#ifndef TLIN_ENGINE_MODEL_SYNC_JOB_H_
#define TLIN_ENGINE_MODEL_SYNC_JOB_H_

#include <cstdint>

#include "engine/model/config.h"
#include "engine/step_plan.h"

namespace tlin {

struct SyncStep {
  enum class Stage { kQueries, kStream, kLayer };

  int32_t block = 0;
  Stage stage = Stage::kQueries;
  int32_t layer = 0;     // kLayer: within the block
  int64_t position = 0;  // tiles: of the first row
  int32_t rows = 0;      // of the tile; kLayer: all queries
  // kStream: the keys are there from an earlier sync.
  bool keys_kept = false;
  // Tiles of a derived history's first block: projections are looked up.
  bool looked_up = false;
};

// Walks the steps of a sync of `history_tokens` tokens.
class SyncJob {
 public:
  // `kept_tokens`: the first block's keys of so many tokens are there already.
  // `carried_tokens`: all queries have met so many of its tokens; whole tiles.
  // REQUIRES: config.has_windows(); history_tokens >= 1.
  SyncJob(const ModelConfig& config, int64_t history_tokens,
          int64_t kept_tokens, int64_t carried_tokens = 0);

  int64_t history_tokens() const { return history_tokens_; }
  int64_t carried_tokens() const { return carried_tokens_; }
  // Positions from here on are queries: the last W_oh, or all there are.
  int64_t first_query() const { return history_tokens_ - queries_; }
  int32_t queries() const { return static_cast<int32_t>(queries_); }

  bool done() const { return step_.block == config_.n_block; }
  // REQUIRES: !done()
  const SyncStep& step() const { return step_; }
  // Of a tile: rows of the block's input that this step has to read, the first
  // ones of the tile.
  int32_t rows_to_read() const;
  // Of the present step, at least 1 (MFLOP).
  SyncWork step_work() const;
  // Of this step and all after it. Falls by step_work() with each Advance.
  const SyncWork& work_left() const { return work_left_; }
  void Advance();

 private:
  // Sets `step_` to the tile at `position`, which ends at a multiple of
  // kTileRows or with the history.
  void SetTile(SyncStep::Stage stage, int64_t position);
  void NextStep();

  // Constant after construction; not const, so that a job can be assigned.
  ModelConfig config_;
  int64_t history_tokens_;
  int64_t queries_;
  int64_t kept_tokens_;
  int64_t carried_tokens_;
  SyncStep step_;
  SyncWork work_left_;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_MODEL_SYNC_JOB_H_
