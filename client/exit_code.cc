#include "client/exit_code.h"

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/rpc_status.h"

namespace tlin::client {

const char kExitCodeHelp[] =
    "Exit codes: 0 ok, 1 output not written, 2 usage, 3 unavailable or out of "
    "time,\n"
    "4 refused (server full), 5 invalid request, 6 server fault, 7 denied, 130 "
    "interrupted.\n";

ExitCode ExitCodeFor(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kExitOk;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return kExitUnavailable;
    case absl::StatusCode::kResourceExhausted:
      return kExitRefused;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition:
      return kExitInvalid;
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
      return kExitDenied;
    case absl::StatusCode::kCancelled:
      return kExitInterrupted;
    default:
      return kExitFault;
  }
}

std::string DescribeError(const absl::Status& status) {
  std::string text = absl::StrCat(absl::StatusCodeToString(status.code()), ": ",
                                  status.message());
  if (const auto delay = RetryDelay(status); delay.has_value()) {
    absl::StrAppend(&text, " (try again in ", absl::FormatDuration(*delay),
                    ")");
  }
  return text;
}

}  // namespace tlin::client
