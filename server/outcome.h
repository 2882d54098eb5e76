// How a request ended, in the words of tlin_requests_total{outcome}. Pure.
#ifndef TLIN_SERVER_OUTCOME_H_
#define TLIN_SERVER_OUTCOME_H_

#include <array>

#include "absl/status/status.h"
#include "engine/listener.h"

namespace tlin {

enum class Outcome {
  kEos,
  kStop,
  kLength,
  kDeadline,
  kInterrupted,
  kCancelled,
  kRejected,  // no room for it, draining, or still loading
  kInvalid,   // the caller's fault
  kError,     // ours; ended by the end of a drain, too
};
inline constexpr std::array<Outcome, 9> kOutcomes = {
    Outcome::kEos,      Outcome::kStop,        Outcome::kLength,
    Outcome::kDeadline, Outcome::kInterrupted, Outcome::kCancelled,
    Outcome::kRejected, Outcome::kInvalid,     Outcome::kError};

// The label's value.
const char* OutcomeName(Outcome outcome);

// Of a request that the engine accepted.
Outcome OutcomeOfEnd(const RequestEnd& end);
// Of one that never got into the engine. REQUIRES: !status.ok().
Outcome OutcomeOfRefusal(const absl::Status& status);

}  // namespace tlin

#endif  // TLIN_SERVER_OUTCOME_H_
