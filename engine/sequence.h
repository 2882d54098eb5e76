// One request's running state.
#ifndef TLIN_ENGINE_SEQUENCE_H_
#define TLIN_ENGINE_SEQUENCE_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "engine/model_runner.h"
#include "engine/sampling/token_counts.h"
#include "engine/session/prefix_cache.h"
#include "engine/session/session.h"
#include "engine/slot_pool.h"
#include "engine/step_plan.h"
#include "engine/stop_checker.h"
#include "engine/ticket.h"
#include "engine/token.h"
#include "engine/token_sink.h"

namespace tlin {

// How sequences are cut into window rows; constant after start, so a request is
// cut the same way in any company.
struct FillShape {
  int32_t window = 0;      // W_og; 0: no windows and no syncs
  int32_t part_rows = 1;   // of a prompt; a part ends at multiples of it
  int32_t score_rows = 1;  // the same where every row wants logits
};

// Makes the legal transitions only, and CHECKs the others:
//
//   waiting -> syncing | filling
//   syncing -> filling | decoding
//   filling -> filling | decoding | syncing
//   decoding -> decoding | syncing
//   any -> finished
//
// Of N tokens r = N mod W_og (W_og where that is 0) are window rows and the N -
// r before them history: at admission that is a prompt longer than a window;
// later it is so each time that a token is to join a full window. Where it goes
// on with a session, the tokens before are prompt, too, and as many of them as
// the session's state holds are fed already. A sequence to score walks windows
// 0, W_og, ... instead. Engine thread only.
class Sequence {
 public:
  enum class Phase { kWaiting, kSyncing, kFilling, kDecoding, kFinished };

  // `max_tokens`: of prompt and new tokens together. `session`: busy with this
  // request, outlives it; its tokens move here. Null: there is none.
  Sequence(Ticket ticket, const FillShape& shape, int64_t max_tokens,
           StopChecker stop_checker, Session* session = nullptr);

  Phase phase() const { return phase_; }
  bool scoring() const { return ticket_.request.kind == Request::Kind::kScore; }
  const Request& request() const { return ticket_.request; }
  TokenSink& sink() const { return *ticket_.sink; }
  CallerWish wish() const {
    return ticket_.wish->load(std::memory_order_relaxed);
  }
  bool cancelled() const { return wish() == CallerWish::kCancel; }
  absl::Time submitted() const { return ticket_.submitted; }
  int64_t max_tokens() const { return max_tokens_; }
  Session* session() const { return session_; }

  // REQUIRES: admitted and not finished.
  SlotId slot() const { return lease_.id(); }
  bool holds_slot() const { return lease_.held(); }
  // The step in which its present work became ready: the older goes sooner.
  int64_t ready_step() const { return ready_step_; }

  // Prompt and generated tokens. Stays where it is during a sync. (The
  // request's own prompt is empty: it is kept once.)
  absl::Span<const TokenId> tokens() const { return tokens_; }
  int64_t generated() const { return usage_.generated_tokens; }
  // Tokens that the model holds: history and window.
  int64_t fed() const { return fed_; }
  // What the running sync makes history, or the last one made.
  int64_t history() const { return history_; }
  absl::Span<const TokenId> history_tokens() const {
    return tokens().subspan(0, static_cast<size_t>(history_));
  }
  // The rows to run next. REQUIRES: filling or decoding.
  WindowRows NextRows() const;
  // Rows that are not fed yet and are known. REQUIRES: as NextRows.
  int64_t rows_left() const { return feed_end() - fed_; }

  // waiting -> syncing or filling. `extent`: of the state in the slot.
  void Admit(SlotLease lease, const StateExtent& extent, absl::Time now,
             int64_t step);
  // syncing -> filling or decoding. The sync counts as lasting until the next
  // rows are run.
  void EndSync(int64_t step);
  // The same without a sync: the state of this history was there.
  void SkipSync(absl::Time now, int64_t step);
  // How the token after those rows is chosen; borrowed until the sequence goes
  // on.
  SampleRow NextSample() const;
  // The first `rows` of NextRows were run. True where a token is to be sampled
  // now.
  bool AdvanceRows(int32_t rows, absl::Time now, int64_t step);
  // The sampled token; -> decoding or syncing. REQUIRES: AdvanceRows was true.
  void AppendToken(TokenId token, absl::Time now, int64_t step);
  // Any -> finished. What it held: the lease is empty where it had no slot.
  struct Remains {
    SlotLease slot;
    std::vector<TokenId> tokens;
  };
  Remains Finish();

  // Set where the last rows ended a cache miss: from the window being full, or
  // the prompt admitted, until now.
  std::optional<absl::Duration> last_miss() const { return last_miss_; }
  // How long it has held its slot. REQUIRES: admitted.
  absl::Duration HeldAt(absl::Time now) const { return now - admitted_; }
  const Usage& usage() const { return usage_; }
  Timing TimingAt(absl::Time now) const;
  absl::Time last_token() const { return last_token_; }

  // Owned here, driven by whoever commits the sequence's rows.
  StopChecker stop_checker;
  PrefixKey prefix;  // of a history that it came to, where it may be shared
  TokenCounts counts;
  Chunk pending;              // tokens that wait for their text to be decided
  int64_t wasted_tokens = 0;  // made after the caller had gone

 private:
  void Become(Phase next, int64_t step);
  void BeginSync(int64_t history, absl::Time now, int64_t step);
  void LeaveSync(int64_t step);
  // One past the last token that the model is to be fed as things stand.
  int64_t feed_end() const;
  bool window_full() const {
    return shape_.window > 0 && fed_ - history_ == shape_.window;
  }

  // Constant after construction.
  Ticket ticket_;  // its prompt has moved to tokens_
  const FillShape shape_;
  const int64_t max_tokens_;
  Session* const session_;

  Phase phase_ = Phase::kWaiting;
  SlotLease lease_;
  int64_t ready_step_ = 0;
  std::vector<TokenId> tokens_;
  int64_t history_ = 0;
  int64_t fed_ = 0;

  Usage usage_;
  absl::Time admitted_ = absl::InfiniteFuture();
  absl::Time sync_begun_ = absl::InfiniteFuture();  // set: a miss is under way
  std::optional<absl::Duration> last_miss_;
  absl::Duration syncs_;  // all of them
  absl::Time first_token_ = absl::InfiniteFuture();
  absl::Time last_token_;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_SEQUENCE_H_
