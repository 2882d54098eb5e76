#include "engine/engine_loop.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/step_limits.h"

namespace tlin {
namespace {

// Weight of the newest request in the average time that a slot is held.
constexpr int64_t kHoldSmoothing = 8;

absl::Status LeaseOver(const Session& session) {
  return absl::UnavailableError(
      absl::StrCat("session ", session.id,
                   ": its lease is over, another server may go on with it"));
}

}  // namespace

EngineLoop::EngineLoop(const EngineOptions& options, ModelRunner* model,
                       const Tokenizer* tokenizer,
                       std::optional<TokenId> eos_token_id,
                       EngineListener* listener, Clock* clock, Logger* logger,
                       Inbox* inbox)
    : model_(model),
      tokenizer_(tokenizer),
      eos_token_id_(eos_token_id),
      listener_(listener),
      clock_(clock),
      logger_(logger),
      inbox_(inbox),
      shape_(MakeFillShape(model->info())),
      sessions_(options.sessions, model, clock, logger),
      sharing_(options.prefix_cache_bytes, model, logger),
      leases_(&sessions_, clock),
      by_slot_(static_cast<size_t>(model->info().slots), nullptr),
      planner_(options, model),
      committer_(model->info().vocab_size, listener) {
  active_.reserve(by_slot_.size());
  plan_.decode.reserve(by_slot_.size());
  plan_.fill.reserve(by_slot_.size());
  plan_.sync.reserve(by_slot_.size());
  plan_.samples.reserve(by_slot_.size());
}

void EngineLoop::Step(Inbox::Mail* mail) {
  RunCommands(mail);
  Enqueue(mail);
  const absl::Time begin = clock_->Now();
  Plan();
  if (!plan_.empty()) {
    planner_.BeforeRun(plan_);
    const absl::Time run = clock_->Now();
    StepOutput output;
    const absl::Status status = model_->Run(plan_, &output);
    TellOfStep(clock_->Now() - run);
    Commit(status, output);
    if (status.ok()) planner_.AfterRun(plan_, clock_->Now() - begin);
  }
  leases_.Tidy();
  TellState(clock_->Now());
  TellEnded();
}

void EngineLoop::Plan() {
  ++step_;
  const absl::Time now = clock_->Now();
  EndOverdue(now);
  Admit(now);
  planner_.Clear();
  sharing_.BeginStep(active_);
  for (const auto& sequence : active_) {
    if (sharing_.MustWait(sequence.get(), now, step_)) continue;
    planner_.Add(*sequence);
  }
  planner_.Plan(&plan_);
  TLIN_CHECK(!plan_.empty() || active_.empty());
  AddSamples();
  BeginSyncs();
}

std::optional<Ending> EngineLoop::OverdueEnding(const Sequence& sequence,
                                                absl::Time now) const {
  if (sequence.cancelled()) return absl::CancelledError("the caller has gone");
  if (LeaseIsOver(sequence, now)) return LeaseOver(*sequence.session());
  if (sequence.wish() == CallerWish::kInterrupt) {
    return FinishReason::kInterrupted;
  }
  if (now < sequence.request().deadline) return std::nullopt;
  if (sequence.generated() > 0) return FinishReason::kDeadline;
  return absl::DeadlineExceededError(
      sequence.holds_slot() ? "the deadline passed before the first token"
                            : "the deadline passed before a slot was free");
}

void EngineLoop::EndOverdue(absl::Time now) {
  const auto overdue = [this, now](const Sequence& sequence) {
    return OverdueEnding(sequence, now).has_value();
  };
  for (const auto& sequence : queue_.Extract(overdue)) {
    const Ending ending = *OverdueEnding(*sequence, now);
    // What finishes has started.
    if (ending.ok()) TellStarted(*sequence);
    End(ending, sequence.get());
  }
  for (const auto& sequence : active_) {
    const std::optional<Ending> ending = OverdueEnding(*sequence, now);
    if (!ending.has_value()) continue;
    if (ending->ok()) committer_.SendHeld(sequence.get());
    End(*ending, sequence.get());
  }
  ForgetEnded();
}

void EngineLoop::Admit(absl::Time now) {
  const auto ready = [](const Sequence& candidate) {
    return candidate.session() == nullptr || !candidate.session()->loading;
  };
  const auto fits = [this](const Sequence& candidate) {
    return sessions_.CanStart(candidate.session(), candidate.max_tokens());
  };
  const size_t before = active_.size();
  while (std::unique_ptr<Sequence> sequence = queue_.PopNext(ready, fits)) {
    SessionKeeper::Start start =
        sessions_.StartSequence(sequence->session(), sequence->max_tokens());
    by_slot_[static_cast<size_t>(start.slot.id())] = sequence.get();
    sequence->Admit(std::move(start.slot), start.extent, now, step_);
    sharing_.TakeState(sequence.get(), now, step_);
    inbox_->LeaveQueue();
    listener_->OnAdmitted(now - sequence->submitted(),
                          sequence->usage().prompt_tokens);
    active_.push_back(std::move(sequence));
  }
  if (active_.size() > before) {
    // Who has heard of a start finds it among what runs.
    TellState(now);
    for (size_t i = before; i < active_.size(); ++i) TellStarted(*active_[i]);
  }
  // Submit refused what could never be opened, so an idle model fits anything
  // that need not wait for the shelf.
  TLIN_CHECK(!active_.empty() || queue_.size() == sessions_.loading());
}

void EngineLoop::TellStarted(const Sequence& sequence) {
  const Usage& usage = sequence.usage();
  sequence.sink().OnStarted({usage.prompt_tokens, usage.cached_tokens,
                             sequence.request().sampling.seed});
}

void EngineLoop::AddSamples() {
  for (const auto* parts : {&plan_.decode, &plan_.fill}) {
    for (const WindowRows& rows : *parts) {
      if (rows.logits != WindowRows::Logits::kSample) continue;
      plan_.samples.push_back(At(rows.slot)->NextSample());
    }
  }
}

void EngineLoop::BeginSyncs() {
  for (const SyncSlice& slice : plan_.sync) {
    if (model_->SyncUnitsLeft(slice.slot) > 0) continue;
    model_->BeginSync(slice.slot, At(slice.slot)->history_tokens());
  }
}

void EngineLoop::Commit(const absl::Status& status, const StepOutput& output) {
  if (!status.ok()) {
    FailPlan(status);
  } else {
    const absl::Time now = clock_->Now();
    Committed committed;
    cache_hits_ = 0;
    for (const auto& rows : plan_.decode)
      CommitRows(rows, output, now, &committed);
    if (cache_hits_ > 0) listener_->OnCacheHits(cache_hits_);
    for (const auto& rows : plan_.fill)
      CommitRows(rows, output, now, &committed);
    for (const SyncSlice& slice : plan_.sync) CommitSlice(slice);
  }
  ForgetEnded();
}

void EngineLoop::CommitRows(const WindowRows& rows, const StepOutput& output,
                            absl::Time now, Committed* committed) {
  Sequence* const sequence = At(rows.slot);
  const int32_t count = static_cast<int32_t>(rows.tokens.size());
  const Committed before = *committed;
  const int64_t position = sequence->fed();
  const int64_t history = sequence->history();
  if (rows.logits == WindowRows::Logits::kSample) committed->tokens += 1;
  if (rows.logits == WindowRows::Logits::kAll) committed->logit_rows += count;
  TLIN_CHECK(committed->tokens <= output.tokens.size() &&
             committed->logit_rows <= output.logits.rows);

  const bool decoding = sequence->phase() == Sequence::Phase::kDecoding;
  const bool sample = sequence->AdvanceRows(count, now, step_);
  if (sequence->last_miss().has_value()) {
    listener_->OnSync(*sequence->last_miss(), history);
  } else if (decoding) {
    ++cache_hits_;
  }
  std::optional<Ending> ending;
  if (LeaseIsOver(*sequence, now)) {
    // Also where the process stood still while the rows were run.
    ending = LeaseOver(*sequence->session());
  } else if (sequence->scoring()) {
    ending = committer_.CommitScores(output.logits, before.logit_rows, position,
                                     count, sequence);
  } else if (sample) {
    ending = committer_.CommitToken(output.tokens[before.tokens], now, step_,
                                    sequence);
  }
  if (ending.has_value()) End(*ending, sequence);
}

void EngineLoop::CommitSlice(const SyncSlice& slice) {
  if (model_->SyncUnitsLeft(slice.slot) > 0) return;
  sharing_.KeepState(*At(slice.slot));
  At(slice.slot)->EndSync(step_);
}

void EngineLoop::FailPlan(const absl::Status& status) {
  logger_->Log(Severity::kError, "a step of the model failed",
               {{"status", status.ToString()}});
  const Ending ending = absl::InternalError(status.message());
  const auto end = [&](SlotId slot) {
    End(ending, At(slot), /*run_failed=*/true);
  };
  for (const auto& rows : plan_.decode) end(rows.slot);
  for (const auto& rows : plan_.fill) end(rows.slot);
  for (const auto& slice : plan_.sync) end(slice.slot);
}

void EngineLoop::End(const Ending& wanted, Sequence* sequence,
                     bool run_failed) {
  const absl::Time now = clock_->Now();
  const bool lost = LeaseIsOver(*sequence, now);
  const Ending ending = lost ? Ending(LeaseOver(*sequence->session())) : wanted;
  if (lost) sequence->session()->lease_until = absl::InfinitePast();
  if (sequence->holds_slot()) {
    const int64_t held = absl::ToInt64Nanoseconds(sequence->HeldAt(now));
    const int64_t average = average_hold_ns_.load(std::memory_order_relaxed);
    average_hold_ns_.store(
        average == 0 ? held : average + (held - average) / kHoldSmoothing,
        std::memory_order_relaxed);
    const SlotId slot = sequence->slot();
    by_slot_[static_cast<size_t>(slot)] = nullptr;
    // A sync under way has overwritten a part of what was there.
    const bool whole = !run_failed && model_->SyncUnitsLeft(slot) == 0;
    queue_.SlotFreed(*sequence);
    Sequence::Remains remains = sequence->Finish();
    sessions_.EndSequence(sequence->session(), std::move(remains.slot),
                          std::move(remains.tokens), whole);
  } else {
    inbox_->LeaveQueue();
    Sequence::Remains remains = sequence->Finish();
    if (sequence->session() != nullptr) {
      sessions_.GiveBack(sequence->session(), std::move(remains.tokens));
    }
  }

  RequestEnd end;
  end.request_id = sequence->request().id;
  end.usage = sequence->usage();
  end.timing = sequence->TimingAt(now);
  end.wasted_tokens = sequence->wasted_tokens;
  if (ending.ok()) {
    end.reason = *ending;
  } else {
    end.status = ending.status();
    if (absl::IsInternal(end.status)) {
      end.status = absl::InternalError(
          absl::StrCat("request ", end.request_id, ": ", end.status.message()));
    }
  }
  listener_->OnRequestEnd(end);
  if (ending.ok()) {
    sequence->sink().OnFinished(
        {*ending, sequence->stop_checker.stop_match(), end.usage, end.timing});
  } else {
    sequence->sink().OnError(end.status);
  }
  ended_ids_.push_back(sequence->request().id);
}

void EngineLoop::ForgetEnded() {
  std::erase_if(active_, [](const std::unique_ptr<Sequence>& sequence) {
    return sequence->phase() == Sequence::Phase::kFinished;
  });
  if (active_.empty()) {
    TLIN_CHECK(slots().used() == sessions_.kept_slots());
    TLIN_CHECK(model_->syncs_in_flight() == 0);
  }
}

void EngineLoop::EndAll(Inbox::Mail* mail, const absl::Status& status) {
  RunCommands(mail);
  Enqueue(mail);
  leases_.RefuseAll(status);
  for (const auto& sequence : active_) End(status, sequence.get());
  ForgetEnded();
  while (const std::unique_ptr<Sequence> sequence = queue_.PopFirst()) {
    End(status, sequence.get());
  }
  leases_.Tidy();
  TellState(clock_->Now());
  TellEnded();
}

void EngineLoop::TellOfStep(absl::Duration duration) {
  StepStats stats;
  stats.decode_rows = static_cast<int32_t>(plan_.decode.size());
  for (const auto& rows : plan_.fill) {
    stats.fill_rows += static_cast<int32_t>(rows.tokens.size());
  }
  stats.sync_slices = static_cast<int32_t>(plan_.sync.size());
  stats.duration = duration;
  listener_->OnStep(stats);
}

void EngineLoop::TellState(absl::Time now) {
  EngineState state;
  state.running = static_cast<int64_t>(active_.size());
  state.waiting = queue_.size();
  if (!queue_.empty()) state.oldest_waiting = now - queue_.oldest();
  state.slots = slots().total();
  state.slots_used = slots().used();
  state.slots_high_water = slots().high_water();
  const SessionKeeper::Counts sessions = sessions_.counts();
  state.sessions_active = sessions.active;
  state.sessions_idle = sessions.idle;
  state.sessions_stored = sessions.stored;
  state.host_state_bytes = sessions.state_bytes;
  state.prefix_cache_bytes = sharing_.bytes();
  state.prefix_cache_queries = sharing_.queries();
  state.prefix_cache_hits = sharing_.hits();
  int64_t tokens = queue_.tokens();
  for (const auto& sequence : active_) {
    tokens += static_cast<int64_t>(sequence->tokens().size());
  }
  state.host_token_bytes =
      tokens * static_cast<int64_t>(sizeof(TokenId)) + sessions.token_bytes;
  state.history_bytes_used = model_->memory().history_used;
  state.step_prices = planner_.costs().prices();
  listener_->OnState(state);
}

void EngineLoop::TellEnded() {
  for (const std::string& id : ended_ids_) inbox_->End(id);
  ended_ids_.clear();
}

absl::Duration EngineLoop::AverageHold() const {
  return absl::Nanoseconds(average_hold_ns_.load(std::memory_order_relaxed));
}

}  // namespace tlin
