// What comes in between two steps: the store's answers, commands about
// sessions, requests.
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/engine_loop.h"
#include "engine/validate_request.h"

namespace tlin {

void EngineLoop::RunCommands(Inbox::Mail* mail) {
  for (const ShelfResult& result : mail->results) {
    listener_->OnStoreOperation(result.operation, result.duration,
                                !result.failed());
    sessions_.OnShelfResult(result);
    leases_.OnShelfResult(result);
  }
  mail->results.clear();
  for (auto& [scope, command] : mail->commands) {
    leases_.With(scope, [this, command = std::move(command)](
                            const absl::Status& status) mutable {
      RefusedSessions refused(status);
      command(status.ok() ? static_cast<Sessions&>(sessions_) : refused);
    });
  }
  mail->commands.clear();
}

void EngineLoop::Enqueue(Inbox::Mail* mail) {
  for (Ticket& ticket : mail->tickets) {
    SessionScope scope;
    if (!ticket.request.session_id.empty()) {
      scope = {SessionScope::Kind::kLease, {ticket.request.session_id}};
    }
    leases_.With(scope, [this, ticket = std::move(ticket)](
                            const absl::Status& leased) mutable {
      EnqueueOne(std::move(ticket), leased);
    });
  }
  mail->tickets.clear();
}

void EngineLoop::EnqueueOne(Ticket ticket, const absl::Status& leased) {
  Session* session = nullptr;
  absl::Status refusal = leased;
  if (refusal.ok() && !ticket.request.session_id.empty()) {
    absl::StatusOr<Session*> borrowed = sessions_.Borrow(ticket.request);
    if (borrowed.ok()) {
      session = *borrowed;
    } else {
      refusal = borrowed.status();
    }
  }
  const int64_t before = session == nullptr ? 0 : session->token_count;
  const int64_t max_tokens =
      MaxTokensOf(ticket.request, before, model_->info().max_context_tokens);
  Stopping stopping = ticket.request.stopping;
  stopping.max_new_tokens = static_cast<int32_t>(
      max_tokens - before - static_cast<int64_t>(ticket.request.prompt.size()));
  auto sequence = std::make_unique<Sequence>(
      std::move(ticket), shape_, max_tokens,
      StopChecker(stopping, tokenizer_, eos_token_id_), session);
  if (refusal.ok()) refusal = CheckDeadline(*sequence);
  if (refusal.ok()) {
    queue_.Push(std::move(sequence));
  } else {
    End(refusal, sequence.get());
  }
}

absl::Status EngineLoop::CheckDeadline(const Sequence& sequence) const {
  const absl::Duration left = sequence.request().deadline - clock_->Now();
  // What a session has of it already, and what a score takes, is not known.
  if (left == absl::InfiniteDuration() || sequence.session() != nullptr ||
      sequence.scoring()) {
    return absl::OkStatus();
  }
  const auto prompt = static_cast<int64_t>(sequence.tokens().size());
  int64_t rows = prompt;
  if (shape_.window > 0) rows = (prompt - 1) % shape_.window + 1;
  const absl::Duration least = planner_.LeastTime(prompt - rows, rows);
  if (least <= left || sharing_.MayHave(sequence, prompt - rows)) {
    return absl::OkStatus();
  }
  return absl::DeadlineExceededError(absl::StrCat(
      "the deadline is in ", absl::FormatDuration(left), ": reading ", prompt,
      " tokens takes ", absl::FormatDuration(least), " at least"));
}

}  // namespace tlin
