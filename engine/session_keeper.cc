#include "engine/session_keeper.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"
#include "engine/validate_request.h"

namespace tlin {

SessionKeeper::SessionKeeper(const SessionOptions& options, ModelRunner* model,
                             Clock* clock, Logger* logger)
    : options_(options),
      model_(model),
      clock_(clock),
      logger_(logger),
      state_bytes_(std::make_shared<std::atomic<int64_t>>(0)),
      pool_(model->info().slots),
      table_(options.max_sessions),
      leases_(static_cast<size_t>(model->info().slots)) {}

void SessionKeeper::LogFault(const char* what, const Session& session,
                             const absl::Status& status) const {
  logger_->Log(Severity::kError, what,
               {{"session", session.id}, {"status", status.ToString()}});
}

void SessionKeeper::Changed(Session* session) {
  session->version = ++versions_;
  if (shelf_ == nullptr) return;
  const bool in_slot = KeepsSlot(*session);
  const bool small =
      !in_slot ||
      model_->StateBytes(model_->Extent(*session->slot))
              .value_or(kMostCopiedStateBytes + 1) <= kMostCopiedStateBytes;
  if (small) {
    const absl::Status saved = Save(session);
    if (!saved.ok())
      LogFault("a session's state was not saved", *session, saved);
  }
  session->stored_state = session->saved != nullptr;
  shelf_->Put(session->id, session->version, MakeSnapshot(*session));
  KeepWithinMemory();
}

void SessionKeeper::StopLoading(Session* session) {
  if (!session->loading) return;
  session->loading = false;
  --loading_;
}

void SessionKeeper::OnShelfResult(const ShelfResult& result) {
  Session* const session = table_.Find(result.id);
  const absl::Status status = result.snapshot.status();
  if (session == nullptr) {
    // Deleted meanwhile.
  } else if (result.operation == ShelfResult::Operation::kPut) {
    if (status.ok() && result.version == session->version) {
      session->stored_version = result.version;
      session->stored_as = result.stored_as;
    } else if (absl::IsAborted(status)) {
      // Another process has gone on with it.
      session->lease_until = absl::InfinitePast();
      if (!session->busy) Forget(session);
    }
  } else if (result.operation == ShelfResult::Operation::kGet &&
             session->loading) {
    StopLoading(session);
    if (status.ok() && result.snapshot->state != nullptr &&
        static_cast<int64_t>(result.snapshot->tokens.size()) ==
            session->token_count) {
      session->saved = Count(result.snapshot->state);
    }
  }
  if (status.ok()) return;
  logger_->Log(Severity::kError, "the session store failed",
               {{"session", result.id}, {"status", status.ToString()}});
}

absl::StatusOr<Session*> SessionKeeper::Borrow(const Request& request) {
  TLIN_ASSIGN_OR_RETURN(Session* const session,
                        FindFree(request.session_id, request.binding));
  const int64_t most = model_->info().max_context_tokens;
  const auto prompt = static_cast<int64_t>(request.prompt.size());
  if (session->token_count + prompt >= most) {
    return absl::InvalidArgumentError(absl::StrCat(
        "prompt has ", prompt, " tokens, session ", session->id, " ",
        session->token_count, ": want less than ", most, " together"));
  }
  TLIN_RETURN_IF_ERROR(
      CheckEverFits(*model_, MaxTokensOf(request, session->token_count, most)));
  session->busy = true;
  ++busy_;
  if (KeepsSlot(*session)) --idle_;
  token_bytes_ -= TokenBytes(session->token_count);
  if (shelf_ != nullptr && session->saved == nullptr && !KeepsSlot(*session) &&
      session->stored_state && session->stored_version == session->version) {
    session->loading = true;
    ++loading_;
    shelf_->Get(session->id);
  }
  return session;
}

void SessionKeeper::SetTokens(Session* session, std::vector<TokenId> tokens) {
  session->token_count = static_cast<int64_t>(tokens.size());
  session->tokens = std::move(tokens);
  token_bytes_ += TokenBytes(session->token_count);
}

void SessionKeeper::BecomeFree(Session* session, std::vector<TokenId> tokens) {
  TLIN_CHECK(session->busy);
  SetTokens(session, std::move(tokens));
  session->busy = false;
  StopLoading(session);
  --busy_;
  if (KeepsSlot(*session)) ++idle_;
  table_.Touch(session, clock_->Now());
}

void SessionKeeper::GiveBack(Session* session, std::vector<TokenId> tokens) {
  tokens.resize(static_cast<size_t>(session->token_count));
  BecomeFree(session, std::move(tokens));
}

bool SessionKeeper::CanStart(const Session* session, int64_t max_tokens) const {
  const bool has_slot = session != nullptr && KeepsSlot(*session);
  if (!has_slot && pool_.free() + kept_slots_ == 0) return false;
  if (model_->CanOpen(max_tokens)) return true;
  // What sessions that keep slots have reserved can be had.
  std::vector<SlotId> kept;
  for (const SlotLease& lease : leases_) {
    if (lease.held()) kept.push_back(lease.id());
  }
  return model_->CanOpen(max_tokens, kept);
}

void SessionKeeper::MakeRoom(const Session* but_not) {
  Session* leaves = table_.FindOldest([this](const Session& session) {
    return !session.busy && KeepsSlot(session);
  });
  if (leaves == nullptr) {
    leaves = table_.FindOldest([&](const Session& session) {
      return &session != but_not && KeepsSlot(session);
    });
  }
  TLIN_CHECK(leaves != nullptr);
  LeaveSlot(leaves);
}

SessionKeeper::Start SessionKeeper::StartSequence(Session* session,
                                                  int64_t max_tokens) {
  Start start;
  if (session != nullptr && KeepsSlot(*session)) {
    const SlotId slot = *session->slot;
    while (!model_->CanOpen(max_tokens, {slot})) MakeRoom(session);
    model_->Resize(slot, max_tokens);
    start.slot = std::move(leases_[static_cast<size_t>(slot)]);
    --kept_slots_;
    start.extent = model_->Extent(slot);
    return start;
  }
  while (pool_.free() == 0 || !model_->CanOpen(max_tokens)) MakeRoom(session);
  start.slot = pool_.Acquire();
  const SlotId slot = start.slot.id();
  model_->Open(slot, max_tokens);
  if (session == nullptr) return start;
  session->slot = slot;
  if (session->saved == nullptr) return start;
  const absl::Status loaded =
      model_->LoadState(slot, session->saved->extent, session->saved->bytes);
  if (loaded.ok()) {
    start.extent = session->saved->extent;
    return start;
  }
  LogFault("a session's state was not loaded", *session, loaded);
  model_->Close(slot);
  model_->Open(slot, max_tokens);
  return start;
}

void SessionKeeper::EndSequence(Session* session, SlotLease slot,
                                std::vector<TokenId> tokens,
                                bool state_is_whole) {
  const SlotId id = slot.id();
  if (session == nullptr || !state_is_whole) {
    model_->Close(id);
    slot.Release();
  }
  if (session == nullptr) return;
  if (state_is_whole) {
    session->saved.reset();  // it is of fewer tokens
    model_->Resize(id, std::max<int64_t>(model_->Extent(id).tokens(), 1));
    leases_[static_cast<size_t>(id)] = std::move(slot);
    ++kept_slots_;
  } else {
    session->slot.reset();
  }
  BecomeFree(session, std::move(tokens));
  if (session->lease_until == absl::InfinitePast()) {
    Forget(session);
  } else {
    Changed(session);
  }
}

absl::Status SessionKeeper::Save(Session* session) {
  if (session->saved != nullptr || !KeepsSlot(*session)) {
    return absl::OkStatus();
  }
  const StateExtent extent = model_->Extent(*session->slot);
  if (extent.tokens() == 0) return absl::OkStatus();  // there is none
  auto state = std::make_shared<SavedState>();
  state->extent = extent;
  TLIN_ASSIGN_OR_RETURN(const int64_t bytes, model_->StateBytes(state->extent));
  state->bytes.resize(static_cast<size_t>(bytes));
  TLIN_RETURN_IF_ERROR(
      model_->SaveState(*session->slot, absl::MakeSpan(state->bytes)));
  session->saved = Count(std::move(state));
  return absl::OkStatus();
}

std::shared_ptr<const SavedState> SessionKeeper::Count(
    std::shared_ptr<const SavedState> state) const {
  const auto bytes = static_cast<int64_t>(state->bytes.size());
  state_bytes_->fetch_add(bytes, std::memory_order_relaxed);
  const SavedState* const counted = state.get();
  return {counted, [state = std::move(state), counter = state_bytes_,
                    bytes](const SavedState*) mutable {
            state.reset();
            counter->fetch_sub(bytes, std::memory_order_relaxed);
          }};
}

void SessionKeeper::LeaveSlot(Session* session) {
  const absl::Status saved = Save(session);
  if (!saved.ok()) LogFault("a session's state was not saved", *session, saved);
  CloseSlot(session);
  KeepWithinMemory();
}

void SessionKeeper::CloseSlot(Session* session) {
  if (!KeepsSlot(*session)) return;
  model_->Close(*session->slot);
  leases_[static_cast<size_t>(*session->slot)].Release();
  session->slot.reset();
  --kept_slots_;
  if (!session->busy) --idle_;
}

void SessionKeeper::KeepWithinMemory() {
  const auto oldest = [this](bool stored) {
    return table_.FindOldest([stored](const Session& session) {
      return !session.busy && session.saved != nullptr &&
             (!stored || session.stored_version == session.version);
    });
  };
  while (state_bytes_->load(std::memory_order_relaxed) >
         options_.state_memory_bytes) {
    Session* session = oldest(/*stored=*/true);
    if (session == nullptr) session = oldest(/*stored=*/false);
    if (session == nullptr) return;  // what is left is in use
    session->saved.reset();
  }
}

SessionKeeper::Counts SessionKeeper::counts() const {
  Counts counts;
  counts.active = busy_;
  counts.idle = idle_;
  counts.stored = table_.size() - busy_ - idle_;
  counts.token_bytes = token_bytes_;
  counts.state_bytes = state_bytes_->load(std::memory_order_relaxed);
  return counts;
}

}  // namespace tlin
