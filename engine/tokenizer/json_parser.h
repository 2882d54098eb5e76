// JSON of unknown origin into a value, within limits.
#ifndef TLIN_ENGINE_TOKENIZER_JSON_PARSER_H_
#define TLIN_ENGINE_TOKENIZER_JSON_PARSER_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace tlin {

// Bounds on the memory that a file's values take, checked before any is built.
inline constexpr size_t kMaxJsonBytes = size_t{64} << 20;
inline constexpr size_t kMaxJsonDepth =
    16;  // arrays and objects within another
inline constexpr size_t kMaxJsonValues = 4'000'000;

// INVALID_ARGUMENT where `json` breaks a limit, is malformed (the message has
// the byte) or names a key twice in one object (the message has its path).
// `name` stands for the file in messages. Throws nothing.
absl::StatusOr<nlohmann::json> ParseJson(absl::string_view json,
                                         absl::string_view name);

}  // namespace tlin

#endif  // TLIN_ENGINE_TOKENIZER_JSON_PARSER_H_
