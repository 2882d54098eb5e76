#include "server/outcome.h"

namespace tlin {

const char* OutcomeName(Outcome outcome) {
  switch (outcome) {
    case Outcome::kEos:
      return "eos";
    case Outcome::kStop:
      return "stop";
    case Outcome::kLength:
      return "length";
    case Outcome::kDeadline:
      return "deadline";
    case Outcome::kInterrupted:
      return "interrupted";
    case Outcome::kCancelled:
      return "cancelled";
    case Outcome::kRejected:
      return "rejected";
    case Outcome::kInvalid:
      return "invalid";
    case Outcome::kError:
      return "error";
  }
  return "error";
}

Outcome OutcomeOfEnd(const RequestEnd& end) {
  if (end.reason.has_value()) {
    switch (*end.reason) {
      case FinishReason::kEos:
        return Outcome::kEos;
      case FinishReason::kStop:
        return Outcome::kStop;
      case FinishReason::kLength:
        return Outcome::kLength;
      case FinishReason::kDeadline:
        return Outcome::kDeadline;
      case FinishReason::kInterrupted:
        return Outcome::kInterrupted;
    }
  }
  switch (end.status.code()) {
    case absl::StatusCode::kCancelled:
      return Outcome::kCancelled;
    case absl::StatusCode::kUnavailable:  // accepted, and given up
      return Outcome::kError;
    default:
      return OutcomeOfRefusal(end.status);
  }
}

Outcome OutcomeOfRefusal(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kUnavailable:
      return Outcome::kRejected;
    case absl::StatusCode::kDeadlineExceeded:
      return Outcome::kDeadline;
    case absl::StatusCode::kCancelled:
      return Outcome::kCancelled;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
      return Outcome::kInvalid;
    default:
      return Outcome::kError;
  }
}

}  // namespace tlin
