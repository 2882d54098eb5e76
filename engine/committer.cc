#include "engine/committer.h"

namespace tlin {
namespace {

Ending CallerHasGone() { return absl::CancelledError("the caller has gone"); }

absl::Status ProblemStatus(SampledToken::Problem problem) {
  return absl::InternalError(problem == SampledToken::Problem::kNotFinite
                                 ? "the model's logits are not finite"
                                 : "no token is left to choose from");
}

void AddLogprobs(const SampledToken& sampled, Chunk* chunk) {
  TokenLogprobs& added = chunk->logprobs.emplace_back();
  added.token_id = sampled.token;
  added.logprob = sampled.logprob;
  added.rank = sampled.rank;
  added.top.assign(sampled.top, sampled.top + sampled.candidates);
}

}  // namespace

Committer::Committer(int32_t vocab_size, EngineListener* listener)
    : listener_(listener), sampler_(vocab_size) {}

std::optional<Ending> Committer::CommitToken(const SampledToken& sampled,
                                             absl::Time now, int64_t step,
                                             Sequence* sequence) {
  if (sequence->cancelled()) {
    ++sequence->wasted_tokens;
    return CallerHasGone();
  }
  if (sampled.problem != SampledToken::Problem::kNone) {
    return ProblemStatus(sampled.problem);
  }
  const Output& output = sequence->request().output;
  sequence->pending.token_ids.push_back(sampled.token);
  if (output.logprobs > 0) AddLogprobs(sampled, &sequence->pending);
  TellOfToken(*sequence, now);
  sequence->AppendToken(sampled.token, now, step);

  text_.clear();
  StopChecker& checker = sequence->stop_checker;
  const std::optional<FinishReason> reason =
      checker.Append(sampled.token, &text_);
  const bool decided = reason.has_value() || !text_.empty();
  if (!output.token_ids_only) sequence->pending.text.append(text_);
  if (decided || !checker.holding()) Send(sequence);
  if (!reason.has_value()) return std::nullopt;
  return *reason;
}

void Committer::TellOfToken(const Sequence& sequence, absl::Time now) {
  if (sequence.generated() == 0) {
    listener_->OnFirstToken(now - sequence.submitted());
  } else {
    listener_->OnToken(now - sequence.last_token());
  }
}

std::optional<Ending> Committer::CommitScores(const LogitRows& logits,
                                              int32_t first_row,
                                              int64_t position, int32_t count,
                                              Sequence* sequence) {
  if (sequence->cancelled()) return CallerHasGone();
  const absl::Span<const TokenId> tokens = sequence->tokens();
  sequence->pending.token_ids.reserve(static_cast<size_t>(count));
  sequence->pending.logprobs.reserve(static_cast<size_t>(count));
  for (int32_t i = 0; i < count; ++i) {
    const TokenId next = tokens[static_cast<size_t>(position + i + 1)];
    sequence->pending.token_ids.push_back(next);
    sampler_.Score(logits.row(first_row + i), next,
                   sequence->request().output.logprobs, &scored_);
    if (scored_.problem != SampledToken::Problem::kNone) {
      return ProblemStatus(scored_.problem);
    }
    AddLogprobs(scored_, &sequence->pending);
  }
  Send(sequence);
  const int64_t scored = position + count + 1;
  if (scored < static_cast<int64_t>(tokens.size())) return std::nullopt;
  return FinishReason::kLength;
}

void Committer::SendHeld(Sequence* sequence) {
  text_.clear();
  sequence->stop_checker.Flush(&text_);
  if (!sequence->request().output.token_ids_only) {
    sequence->pending.text.append(text_);
  }
  const Chunk& pending = sequence->pending;
  if (!pending.token_ids.empty() || !pending.text.empty()) Send(sequence);
}

void Committer::Send(Sequence* sequence) {
  Chunk& pending = sequence->pending;
  sequence->sink().OnChunk(pending);
  pending.text.clear();
  pending.token_ids.clear();
  pending.logprobs.clear();
}

}  // namespace tlin
