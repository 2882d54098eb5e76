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
namespace {

int64_t TokenBytes(int64_t tokens) {
  return tokens * static_cast<int64_t>(sizeof(TokenId));
}

}  // namespace

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

SessionInfo SessionKeeper::Describe(const Session& session) const {
  SessionInfo info;
  info.id = session.id;
  info.residence = session.busy               ? SessionInfo::Residence::kActive
                   : session.slot.has_value() ? SessionInfo::Residence::kIdle
                                              : SessionInfo::Residence::kStored;
  info.tokens = session.token_count;
  info.host_bytes = TokenBytes(session.token_count);
  if (session.saved != nullptr) {
    info.host_bytes += static_cast<int64_t>(session.saved->bytes.size());
  }
  if (session.slot.has_value()) {
    info.device_bytes = model_->memory().session_cache_bytes;
  }
  info.created = session.created;
  info.last_used = session.last_used;
  return info;
}

void SessionKeeper::EraseOverdue() {
  const absl::Time oldest = clock_->Now() - options_.idle_time_to_live;
  const auto free = [](const Session& session) {
    return !session.busy && session.binding == 0;
  };
  while (Session* const session = table_.FindOldest(free)) {
    if (session->last_used >= oldest) return;
    Erase(session);
  }
}

void SessionKeeper::Erase(Session* session) {
  CloseSlot(session);
  token_bytes_ -= TokenBytes(session->token_count);
  table_.Erase(session);
}

absl::StatusOr<Session*> SessionKeeper::FindFree(absl::string_view id,
                                                 uint64_t binding) {
  EraseOverdue();
  Session* const session = table_.Find(id);
  if (session == nullptr) {
    return absl::NotFoundError(absl::StrCat("there is no session ", id));
  }
  if (session->busy) {
    return absl::FailedPreconditionError(
        absl::StrCat("session ", id, " is busy with another request"));
  }
  if (session->binding != binding) {
    return absl::FailedPreconditionError(absl::StrCat(
        "session ", id,
        binding == 0 ? " is open in a conversation" : " was made anew"));
  }
  return session;
}

absl::StatusOr<Sessions::Bound> SessionKeeper::Bind(absl::string_view id) {
  EraseOverdue();
  if (table_.Find(id) == nullptr) TLIN_RETURN_IF_ERROR(Create(id).status());
  TLIN_ASSIGN_OR_RETURN(Session* const session, FindFree(id));
  session->binding = ++bindings_;
  return Bound{Describe(*session), session->binding};
}

void SessionKeeper::Unbind(absl::string_view id, uint64_t binding) {
  Session* const session = table_.Find(id);
  if (session == nullptr || session->binding != binding) return;
  session->binding = 0;
  if (!session->busy) table_.Touch(session, clock_->Now());
}

absl::StatusOr<SessionInfo> SessionKeeper::Create(absl::string_view id) {
  EraseOverdue();
  TLIN_ASSIGN_OR_RETURN(Session* const session,
                        table_.Create(id, clock_->Now()));
  return Describe(*session);
}

absl::StatusOr<SessionInfo> SessionKeeper::Get(absl::string_view id) {
  EraseOverdue();
  const Session* const session = table_.Find(id);
  if (session == nullptr) {
    return absl::NotFoundError(absl::StrCat("there is no session ", id));
  }
  return Describe(*session);
}

std::vector<SessionInfo> SessionKeeper::List() {
  EraseOverdue();
  std::vector<SessionInfo> infos;
  infos.reserve(static_cast<size_t>(table_.size()));
  table_.ForEach(
      [&](const Session& session) { infos.push_back(Describe(session)); });
  return infos;
}

absl::Status SessionKeeper::Delete(absl::string_view id) {
  TLIN_ASSIGN_OR_RETURN(Session* const session, FindFree(id));
  Erase(session);
  return absl::OkStatus();
}

absl::StatusOr<SessionInfo> SessionKeeper::Fork(absl::string_view from,
                                                absl::string_view to) {
  TLIN_ASSIGN_OR_RETURN(Session* const origin, FindFree(from));
  TLIN_ASSIGN_OR_RETURN(Session* const fork, table_.Create(to, clock_->Now()));
  const absl::Status saved = Save(origin);
  if (!saved.ok()) {
    Erase(fork);
    return saved;
  }
  fork->tokens = origin->tokens;
  fork->token_count = origin->token_count;
  fork->saved = origin->saved;
  token_bytes_ += TokenBytes(fork->token_count);
  KeepWithinMemory();
  return Describe(*fork);
}

absl::StatusOr<Snapshot> SessionKeeper::Export(absl::string_view id) {
  TLIN_ASSIGN_OR_RETURN(Session* const session, FindFree(id));
  TLIN_RETURN_IF_ERROR(Save(session));
  Snapshot snapshot = {session->tokens, session->saved, session->created,
                       session->last_used};
  KeepWithinMemory();
  return snapshot;
}

absl::StatusOr<SessionInfo> SessionKeeper::Import(absl::string_view id,
                                                  Snapshot snapshot) {
  EraseOverdue();
  TLIN_ASSIGN_OR_RETURN(Session* const session,
                        table_.Create(id, clock_->Now()));
  session->tokens = std::move(snapshot.tokens);
  session->token_count = static_cast<int64_t>(session->tokens.size());
  session->created = snapshot.created;
  if (snapshot.state != nullptr) {
    session->saved = Count(std::move(snapshot.state));
  }
  token_bytes_ += TokenBytes(session->token_count);
  KeepWithinMemory();
  return Describe(*session);
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
  return session;
}

void SessionKeeper::BecomeFree(Session* session, std::vector<TokenId> tokens) {
  TLIN_CHECK(session->busy);
  session->token_count = static_cast<int64_t>(tokens.size());
  session->tokens = std::move(tokens);
  session->busy = false;
  --busy_;
  if (KeepsSlot(*session)) ++idle_;
  token_bytes_ += TokenBytes(session->token_count);
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
  logger_->Log(Severity::kError, "a session's state was not loaded",
               {{"session", session->id}, {"status", loaded.ToString()}});
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
  if (!saved.ok()) {
    logger_->Log(Severity::kError, "a session's state was not saved",
                 {{"session", session->id}, {"status", saved.ToString()}});
  }
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
  while (state_bytes_->load(std::memory_order_relaxed) >
         options_.state_memory_bytes) {
    Session* const oldest = table_.FindOldest([](const Session& session) {
      return !session.busy && session.saved != nullptr;
    });
    if (oldest == nullptr) return;  // what is left is in use
    oldest->saved.reset();
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
