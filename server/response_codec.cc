#include "server/response_codec.h"

#include <cmath>

namespace tlin {
namespace {

v1::Finished::Reason EncodeReason(FinishReason reason) {
  switch (reason) {
    case FinishReason::kEos:
      return v1::Finished::EOS;
    case FinishReason::kStop:
      return v1::Finished::STOP;
    case FinishReason::kLength:
      return v1::Finished::LENGTH;
    case FinishReason::kDeadline:
      return v1::Finished::DEADLINE;
    case FinishReason::kInterrupted:
      return v1::Finished::INTERRUPTED;
  }
  return v1::Finished::REASON_UNSPECIFIED;
}

void EncodeLogprobs(const TokenLogprobs& logprobs, v1::TokenLogprobs* wire) {
  wire->set_token_id(logprobs.token_id);
  wire->set_logprob(logprobs.logprob);
  wire->set_rank(logprobs.rank);
  wire->mutable_top()->Reserve(static_cast<int>(logprobs.top.size()));
  for (const Candidate& candidate : logprobs.top) {
    v1::Candidate* top = wire->add_top();
    top->set_token_id(candidate.token_id);
    top->set_logprob(candidate.logprob);
  }
}

}  // namespace

v1::GenerateResponse EncodeStarted(const Started& started,
                                   const std::string& request_id,
                                   const std::string& session_id) {
  v1::GenerateResponse response;
  v1::Started* wire = response.mutable_started();
  wire->set_request_id(request_id);
  wire->set_session_id(session_id);
  wire->set_prompt_tokens(started.prompt_tokens);
  wire->set_cached_tokens(started.cached_tokens);
  wire->set_seed(started.seed);
  return response;
}

v1::GenerateResponse EncodeChunk(const Chunk& chunk) {
  v1::GenerateResponse response;
  v1::Chunk* wire = response.mutable_chunk();
  wire->set_text(chunk.text);
  wire->mutable_token_ids()->Add(chunk.token_ids.begin(),
                                 chunk.token_ids.end());
  for (const TokenLogprobs& logprobs : chunk.logprobs) {
    EncodeLogprobs(logprobs, wire->add_logprobs());
  }
  return response;
}

v1::GenerateResponse EncodeFinished(const Finished& finished) {
  v1::GenerateResponse response;
  v1::Finished* wire = response.mutable_finished();
  wire->set_reason(EncodeReason(finished.reason));
  wire->set_stop_match(finished.stop_match);
  v1::Usage* usage = wire->mutable_usage();
  usage->set_prompt_tokens(finished.usage.prompt_tokens);
  usage->set_cached_tokens(finished.usage.cached_tokens);
  usage->set_generated_tokens(finished.usage.generated_tokens);
  usage->set_syncs(finished.usage.syncs);
  v1::Timing* timing = wire->mutable_timing();
  timing->set_queue_seconds(absl::ToDoubleSeconds(finished.timing.queue));
  timing->set_first_token_seconds(
      absl::ToDoubleSeconds(finished.timing.first_token));
  timing->set_total_seconds(absl::ToDoubleSeconds(finished.timing.total));
  timing->set_sync_seconds(absl::ToDoubleSeconds(finished.timing.sync));
  return response;
}

v1::ScoreResponse EncodeScore(absl::Span<const TokenLogprobs> tokens) {
  v1::ScoreResponse response;
  double sum = 0.0;
  for (const TokenLogprobs& token : tokens) {
    EncodeLogprobs(token, response.add_tokens());
    sum += token.logprob;
  }
  response.set_negative_log_likelihood(0.0 - sum);
  const double count =
      tokens.empty() ? 1.0 : static_cast<double>(tokens.size());
  response.set_perplexity(std::exp(-sum / count));
  return response;
}

}  // namespace tlin
