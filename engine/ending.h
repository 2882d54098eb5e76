// How a request ends: with a reason, or with a status that says what went
// wrong.
#ifndef TLIN_ENGINE_ENDING_H_
#define TLIN_ENGINE_ENDING_H_

#include "absl/status/statusor.h"
#include "engine/token_sink.h"

namespace tlin {

using Ending = absl::StatusOr<FinishReason>;

}  // namespace tlin

#endif  // TLIN_ENGINE_ENDING_H_
