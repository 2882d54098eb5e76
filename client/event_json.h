// The wire's messages as JSON for scripts: one line each, field names as in the
// proto, numbers as numbers (protobuf's own mapping makes 64-bit ones strings).
#ifndef TLIN_CLIENT_EVENT_JSON_H_
#define TLIN_CLIENT_EVENT_JSON_H_

#include <string>

#include "absl/status/status.h"
#include "nlohmann/json_fwd.hpp"
#include "tlin/v1/generation.pb.h"

namespace tlin::client {

// {"event":"started"|"chunk"|"finished", ...}
std::string EventJson(const v1::GenerateResponse& event);

// {"event":"error","code":"UNAVAILABLE","message":...,"retry_seconds":...}
std::string ErrorJson(const absl::Status& status);

// {"token_id":..,"logprob":..,"rank":..,"top":[..]}
nlohmann::ordered_json LogprobsJson(const v1::TokenLogprobs& token);

// For a person: a line for each field of an object.
std::string FieldLines(const nlohmann::ordered_json& json);

// Invalid UTF-8 becomes U+FFFD; a number that is not finite becomes null.
std::string OneLine(const nlohmann::ordered_json& json);

}  // namespace tlin::client

#endif  // TLIN_CLIENT_EVENT_JSON_H_
