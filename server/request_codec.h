// Messages of the wire, validated, as the engine's requests. Pure.
//
// Checked is what the wire adds: which input there is, names, ids, the
// prompt's length; ranges are checked by the engine that the request goes to.
// Errors are INVALID_ARGUMENT and name the field as a path
// ("token_ids.ids[3] ..."); NOT_FOUND for a model or session that is not
// there; FAILED_PRECONDITION for text where the model has no tokenizer.
#ifndef TLIN_SERVER_REQUEST_CODEC_H_
#define TLIN_SERVER_REQUEST_CODEC_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/request.h"
#include "server/served_model.h"
#include "tlin/v1/generation.pb.h"

namespace tlin {

// NOT_FOUND for another model's name; empty is the one that is served.
absl::Status CheckModel(const std::string& name, const ServedModel& model);

// `fresh_seed` stands in where the caller gave none. The request's id and
// deadline are the caller's to fill in.
absl::StatusOr<Request> DecodeGenerate(const v1::GenerateRequest& message,
                                       const ServedModel& model,
                                       uint64_t fresh_seed);
absl::StatusOr<Request> DecodeScore(const v1::ScoreRequest& message,
                                    const ServedModel& model);

// Token ids to text: ids are checked, bytes that are no UTF-8 become U+FFFD.
absl::StatusOr<v1::DetokenizeResponse> Detokenize(
    const v1::DetokenizeRequest& message, const ServedModel& model);
absl::StatusOr<v1::TokenizeResponse> Tokenize(
    const v1::TokenizeRequest& message, const ServedModel& model);
absl::StatusOr<v1::Model> DescribeModel(const v1::GetModelRequest& message,
                                        const ServedModel& model);

}  // namespace tlin

#endif  // TLIN_SERVER_REQUEST_CODEC_H_
