// What the programs tell the shell.
#ifndef TLIN_CLIENT_EXIT_CODE_H_
#define TLIN_CLIENT_EXIT_CODE_H_

#include <string>

#include "absl/status/status.h"

namespace tlin::client {

enum ExitCode : int {
  kExitOk = 0,
  kExitOutput = 1,       // the answer could not be written
  kExitUsage = 2,        // flags, arguments, local files
  kExitUnavailable = 3,  // no server, not serving, or out of time
  kExitRefused = 4,      // the server is full: try again later
  kExitInvalid = 5,      // the server will never accept this request
  kExitFault = 6,        // the server failed
  kExitDenied = 7,       // missing or wrong credentials
  kExitInterrupted = 130,
};

// The table above, for --help.
extern const char kExitCodeHelp[];

ExitCode ExitCodeFor(const absl::Status& status);

// One line: code, message and, where the server gave it, when to try again.
std::string DescribeError(const absl::Status& status);

}  // namespace tlin::client

#endif  // TLIN_CLIENT_EXIT_CODE_H_
