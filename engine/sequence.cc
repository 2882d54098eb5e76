#include "engine/sequence.h"

#include <algorithm>
#include <utility>

#include "engine/base/check.h"

namespace tlin {
namespace {

using Phase = Sequence::Phase;

// New tokens for which room is made at once; more double the room as they come.
constexpr int64_t kReservedTokens = 4096;
// Of a chunk that waits for its text to be decided.
constexpr size_t kReservedChunkTokens = 64;

bool IsLegal(Phase from, Phase to) {
  if (to == Phase::kFinished) return from != Phase::kFinished;
  switch (from) {
    case Phase::kWaiting:
      return to == Phase::kSyncing || to == Phase::kFilling;
    case Phase::kSyncing:
      return to == Phase::kFilling || to == Phase::kDecoding;
    case Phase::kFilling:
      return to != Phase::kWaiting;
    case Phase::kDecoding:
      return to == Phase::kDecoding || to == Phase::kSyncing;
    case Phase::kFinished:
      return false;
  }
  return false;
}

}  // namespace

Sequence::Sequence(Ticket ticket, const FillShape& shape, int64_t max_tokens,
                   StopChecker checker, Session* session)
    : stop_checker(std::move(checker)),
      ticket_(std::move(ticket)),
      shape_(shape),
      max_tokens_(max_tokens),
      session_(session) {
  if (session_ == nullptr) {
    tokens_ = std::move(ticket_.request.prompt);
  } else {
    std::vector<TokenId> prompt = std::move(ticket_.request.prompt);
    tokens_ = std::move(session_->tokens);
    tokens_.insert(tokens_.end(), prompt.begin(), prompt.end());
  }
  usage_.prompt_tokens = static_cast<int64_t>(tokens_.size());
  TLIN_CHECK(usage_.prompt_tokens > 0 && max_tokens >= usage_.prompt_tokens);
}

void Sequence::Become(Phase next, int64_t step) {
  TLIN_CHECK(IsLegal(phase_, next));
  phase_ = next;
  ready_step_ = step;
}

int64_t Sequence::feed_end() const {
  const int64_t known = static_cast<int64_t>(tokens_.size());
  // Nothing is to be predicted from the last token of a sequence to score.
  const int64_t end = scoring() ? known - 1 : known;
  if (shape_.window == 0) return end;
  return std::min(end, history_ + shape_.window);
}

WindowRows Sequence::NextRows() const {
  TLIN_CHECK(phase_ == Phase::kFilling || phase_ == Phase::kDecoding);
  const int64_t part = scoring() ? shape_.score_rows : shape_.part_rows;
  const int64_t row = fed_ - history_;
  const int64_t border = history_ + (row / part + 1) * part;
  const int64_t end = std::min(feed_end(), border);
  WindowRows rows;
  rows.slot = slot();
  rows.tokens = tokens().subspan(static_cast<size_t>(fed_),
                                 static_cast<size_t>(end - fed_));
  rows.history = tokens().first(static_cast<size_t>(history_));
  if (scoring()) {
    rows.logits = WindowRows::Logits::kAll;
  } else if (end == static_cast<int64_t>(tokens_.size())) {
    rows.logits = WindowRows::Logits::kSample;
  }
  return rows;
}

SampleRow Sequence::NextSample() const {
  SampleRow row;
  row.sampling = request().sampling;
  row.position = static_cast<int64_t>(tokens_.size());
  row.counts = counts.counts();
  row.banned = stop_checker.banned();
  row.logprobs = request().output.logprobs;
  return row;
}

void Sequence::Admit(SlotLease lease, const StateExtent& extent, absl::Time now,
                     int64_t step) {
  const int64_t prompt = usage_.prompt_tokens;
  TLIN_CHECK(lease.held() && extent.tokens() < prompt);
  lease_ = std::move(lease);
  admitted_ = now;
  history_ = extent.history_tokens;
  fed_ = extent.tokens();
  usage_.cached_tokens = fed_;
  if (!scoring()) {
    tokens_.reserve(
        static_cast<size_t>(std::min(max_tokens_, prompt + kReservedTokens)));
    pending.token_ids.reserve(kReservedChunkTokens);
    if (HasPenalties(request().sampling)) counts.AddPrompt(tokens_);
    if (shape_.window > 0 && prompt > history_ + shape_.window) {
      const int64_t rest = prompt % shape_.window;
      return BeginSync(prompt - (rest == 0 ? shape_.window : rest), now, step);
    }
  }
  Become(Phase::kFilling, step);
}

void Sequence::BeginSync(int64_t history, absl::Time now, int64_t step) {
  history_ = history;
  sync_begun_ = now;
  Become(Phase::kSyncing, step);
}

void Sequence::LeaveSync(int64_t step) {
  TLIN_CHECK(phase_ == Phase::kSyncing);
  fed_ = history_;
  const bool prompt_left = fed_ < usage_.prompt_tokens;
  Become(prompt_left ? Phase::kFilling : Phase::kDecoding, step);
}

void Sequence::EndSync(int64_t step) {
  ++usage_.syncs;
  LeaveSync(step);
}

void Sequence::SkipSync(absl::Time now, int64_t step) {
  syncs_ += now - sync_begun_;
  sync_begun_ = absl::InfiniteFuture();
  if (generated() == 0) usage_.cached_tokens = history_;
  LeaveSync(step);
}

bool Sequence::AdvanceRows(int32_t rows, absl::Time now, int64_t step) {
  TLIN_CHECK(rows <= static_cast<int64_t>(NextRows().tokens.size()));
  fed_ += rows;
  last_miss_.reset();
  // A prompt's miss ends with the token that is sampled from its last row.
  const bool ends_miss = scoring() || fed_ == feed_end();
  if (ends_miss && sync_begun_ != absl::InfiniteFuture()) {
    last_miss_ = now - sync_begun_;
    syncs_ += *last_miss_;
    sync_begun_ = absl::InfiniteFuture();
  }
  if (fed_ < feed_end()) {
    Become(Phase::kFilling, step);
    return false;
  }
  if (!scoring()) return true;
  if (fed_ + 1 < static_cast<int64_t>(tokens_.size())) {
    TLIN_CHECK(window_full());
    BeginSync(fed_, now, step);
  }
  return false;
}

void Sequence::AppendToken(TokenId token, absl::Time now, int64_t step) {
  TLIN_CHECK(!scoring() && fed_ == static_cast<int64_t>(tokens_.size()));
  tokens_.push_back(token);
  if (HasPenalties(request().sampling)) counts.AddGenerated(token);
  ++usage_.generated_tokens;
  if (first_token_ == absl::InfiniteFuture()) first_token_ = now;
  last_token_ = now;
  if (window_full()) {
    BeginSync(fed_, now, step);
  } else {
    Become(Phase::kDecoding, step);
  }
}

Sequence::Remains Sequence::Finish() {
  Become(Phase::kFinished, ready_step_);
  return {std::move(lease_), std::move(tokens_)};
}

Timing Sequence::TimingAt(absl::Time now) const {
  Timing timing;
  timing.queue = std::min(admitted_, now) - submitted();
  if (first_token_ != absl::InfiniteFuture()) {
    timing.first_token = first_token_ - submitted();
  }
  timing.total = now - submitted();
  timing.sync = syncs_;
  if (sync_begun_ != absl::InfiniteFuture()) timing.sync += now - sync_begun_;
  return timing;
}

}  // namespace tlin
