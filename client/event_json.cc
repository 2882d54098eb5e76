#include "client/event_json.h"

#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "client/rpc_status.h"
#include "nlohmann/json.hpp"

namespace tlin::client {
namespace {

using Json = nlohmann::ordered_json;

Json StartedJson(const v1::Started& started) {
  return {{"event", "started"},
          {"request_id", started.request_id()},
          {"session_id", started.session_id()},
          {"prompt_tokens", started.prompt_tokens()},
          {"cached_tokens", started.cached_tokens()},
          {"seed", started.seed()}};
}

Json ChunkJson(const v1::Chunk& chunk) {
  Json json = {{"event", "chunk"},
               {"text", chunk.text()},
               {"token_ids", chunk.token_ids()}};
  for (const v1::TokenLogprobs& token : chunk.logprobs()) {
    json["logprobs"].push_back(LogprobsJson(token));
  }
  return json;
}

Json FinishedJson(const v1::Finished& finished) {
  const v1::Usage& usage = finished.usage();
  const v1::Timing& timing = finished.timing();
  return {{"event", "finished"},
          {"reason", v1::Finished::Reason_Name(finished.reason())},
          {"stop_match", finished.stop_match()},
          {"usage",
           {{"prompt_tokens", usage.prompt_tokens()},
            {"cached_tokens", usage.cached_tokens()},
            {"generated_tokens", usage.generated_tokens()},
            {"syncs", usage.syncs()}}},
          {"timing",
           {{"queue_seconds", timing.queue_seconds()},
            {"first_token_seconds", timing.first_token_seconds()},
            {"total_seconds", timing.total_seconds()},
            {"sync_seconds", timing.sync_seconds()}}}};
}

}  // namespace

std::string EventJson(const v1::GenerateResponse& event) {
  switch (event.event_case()) {
    case v1::GenerateResponse::kStarted:
      return OneLine(StartedJson(event.started()));
    case v1::GenerateResponse::kChunk:
      return OneLine(ChunkJson(event.chunk()));
    case v1::GenerateResponse::kFinished:
      return OneLine(FinishedJson(event.finished()));
    case v1::GenerateResponse::EVENT_NOT_SET:
      break;
  }
  // A newer server's event: a reader by "event" passes over it.
  return OneLine({{"event", "unknown"}});
}

std::string ErrorJson(const absl::Status& status) {
  Json json = {{"event", "error"},
               {"code", std::string(absl::StatusCodeToString(status.code()))},
               {"message", std::string(status.message())}};
  if (const auto delay = RetryDelay(status); delay.has_value()) {
    json["retry_seconds"] = absl::ToDoubleSeconds(*delay);
  }
  return OneLine(json);
}

nlohmann::ordered_json LogprobsJson(const v1::TokenLogprobs& token) {
  Json json = {{"token_id", token.token_id()},
               {"logprob", token.logprob()},
               {"rank", token.rank()}};
  for (const v1::Candidate& candidate : token.top()) {
    json["top"].push_back(
        {{"token_id", candidate.token_id()}, {"logprob", candidate.logprob()}});
  }
  return json;
}

std::string OneLine(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string FieldLines(const nlohmann::ordered_json& json) {
  std::string lines;
  for (const auto& [name, value] : json.items()) {
    absl::StrAppendFormat(
        &lines, "%-20s %s\n", name,
        value.is_string() ? value.get_ref<const std::string&>() : value.dump());
  }
  return lines;
}

}  // namespace tlin::client
