#include "client/load_report.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/event_json.h"
#include "nlohmann/json.hpp"

namespace tlin::client {
namespace {

using Json = nlohmann::ordered_json;

Json LatencyJson(const LatencyHistogram& latency) {
  const auto seconds = [](absl::Duration duration) {
    return absl::ToDoubleSeconds(duration);
  };
  return {{"count", latency.count()},
          {"mean", seconds(latency.Mean())},
          {"p50", seconds(latency.Percentile(50))},
          {"p90", seconds(latency.Percentile(90))},
          {"p99", seconds(latency.Percentile(99))},
          {"max", seconds(latency.max())}};
}

Json OptionsJson(const LoadOptions& options) {
  Json json = {{"seed", options.seed},
               {"requests", options.requests},
               {"duration_seconds", absl::ToDoubleSeconds(options.duration)},
               {"deadline_seconds", absl::ToDoubleSeconds(options.deadline)},
               {"max_new_tokens",
                {options.max_new_tokens.low, options.max_new_tokens.high}},
               {"ignore_eos", options.ignore_eos},
               {"bypass_prefix_cache", options.bypass_prefix_cache}};
  if (options.rate > 0) {
    json["rate"] = options.rate;
  } else {
    json["concurrency"] = options.concurrency;
  }
  if (options.prompts.empty()) {
    json["prompt_tokens"] = {options.prompt_tokens.low,
                             options.prompt_tokens.high};
  } else {
    json["prompts"] = options.prompts;
  }
  if (options.temperature) json["temperature"] = *options.temperature;
  return json;
}

double PerSecond(int64_t count, const LoadResult& result) {
  const double seconds = absl::ToDoubleSeconds(result.wall);
  return seconds > 0 ? static_cast<double>(count) / seconds : 0;
}

void PrintLatency(const char* name, const LatencyHistogram& latency,
                  std::ostream& out) {
  const auto ms = [](absl::Duration duration) {
    return absl::ToDoubleMilliseconds(duration);
  };
  out << absl::StrFormat("%-16s %9d %10.3f %10.3f %10.3f %10.3f %10.3f\n", name,
                         latency.count(), ms(latency.Mean()),
                         ms(latency.Percentile(50)), ms(latency.Percentile(90)),
                         ms(latency.Percentile(99)), ms(latency.max()));
}

}  // namespace

std::string LoadJson(const LoadOptions& options, const LoadResult& result) {
  return OneLine(
      {{"options", OptionsJson(options)},
       {"wall_seconds", absl::ToDoubleSeconds(result.wall)},
       {"interrupted", result.interrupted},
       {"requests_started", result.started},
       {"requests_ok", result.ok},
       {"outcomes", Json(result.outcomes)},
       {"finish_reasons", Json(result.reasons)},
       {"prompt_tokens", result.prompt_tokens},
       {"generated_tokens", result.generated_tokens},
       {"ok_per_second", PerSecond(result.ok, result)},
       {"prompt_tokens_per_second", PerSecond(result.prompt_tokens, result)},
       {"generated_tokens_per_second",
        PerSecond(result.generated_tokens, result)},
       {"latency_seconds",
        {{"first_token", LatencyJson(result.first_token)},
         {"inter_token", LatencyJson(result.inter_token)},
         {"total", LatencyJson(result.total)},
         {"send_lag", LatencyJson(result.send_lag)}}}});
}

void PrintLoad(const LoadResult& result, std::ostream& out) {
  std::string outcomes;
  for (const auto& [code, count] : result.outcomes) {
    absl::StrAppend(&outcomes, outcomes.empty() ? "" : ", ", code, " ", count);
  }
  out << absl::StrFormat("requests    %d in %.3f s%s\n", result.started,
                         absl::ToDoubleSeconds(result.wall),
                         result.interrupted ? " (interrupted)" : "");
  out << "outcomes    " << outcomes << "\n";
  out << absl::StrFormat(
      "throughput  %.2f ok/s, %.1f prompt tokens/s, %.1f generated "
      "tokens/s\n\n",
      PerSecond(result.ok, result), PerSecond(result.prompt_tokens, result),
      PerSecond(result.generated_tokens, result));
  out << absl::StrFormat("%-16s %9s %10s %10s %10s %10s %10s\n", "milliseconds",
                         "count", "mean", "p50", "p90", "p99", "max");
  PrintLatency("first token", result.first_token, out);
  PrintLatency("inter-token", result.inter_token, out);
  PrintLatency("total", result.total, out);
  PrintLatency("send lag", result.send_lag, out);
}

}  // namespace tlin::client
