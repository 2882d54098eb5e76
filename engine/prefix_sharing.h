// Sequences with equal histories sync once: one of them does, the others wait
// for its state, and those that come later find it kept.
#ifndef TLIN_ENGINE_PREFIX_SHARING_H_
#define TLIN_ENGINE_PREFIX_SHARING_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "engine/base/log.h"
#include "engine/model_runner.h"
#include "engine/sequence.h"
#include "engine/session/prefix_cache.h"

namespace tlin {

// What can be shared is the state after a sync: of all tokens before the open
// window, to the last one. A request that asks for it neither takes nor gives,
// and sequences to score do not, either. Engine thread only.
class PrefixSharing {
 public:
  // `most_bytes`: of states that are kept; 0: nothing is shared. The pointers
  // outlive the object.
  PrefixSharing(int64_t most_bytes, ModelRunner* model, Logger* logger);

  // Where the state of the history that `sequence` is to sync is kept, puts it
  // into the slot: the sync is over. False where it is not, or no sync is due.
  bool TakeState(Sequence* sequence, absl::Time now, int64_t step);

  // The state of its first `history` tokens is kept, or being made.
  bool MayHave(const Sequence& sequence, int64_t history) const;

  // Of one step, for all sequences that hold a slot: TakeState, then whether it
  // is to wait, because another one makes the state that it needs.
  void BeginStep(const std::vector<std::unique_ptr<Sequence>>& active);
  bool MustWait(Sequence* sequence, absl::Time now, int64_t step);

  // The model has done the sequence's sync.
  void KeepState(const Sequence& sequence);

  int64_t bytes() const { return cache_.bytes(); }
  // Syncs that were due and could have been shared, and those that were.
  int64_t queries() const { return queries_; }
  int64_t hits() const { return hits_; }

 private:
  // Its request's states may be shared; and one of so many tokens.
  bool MayShare(const Sequence& sequence, int64_t history) const;
  // It is in a sync, and its state after that may be shared.
  bool Shares(const Sequence& sequence) const;
  bool HasBegun(const Sequence& sequence) const {
    return model_->SyncUnitsLeft(sequence.slot()) > 0;
  }

  // Constant after construction.
  const int64_t most_bytes_;
  ModelRunner* const model_;
  Logger* const logger_;

  PrefixCache cache_;
  int64_t queries_ = 0;
  int64_t hits_ = 0;
  std::vector<PrefixKey> being_made_;  // of the step's syncs
};

}  // namespace tlin

#endif  // TLIN_ENGINE_PREFIX_SHARING_H_
