// Runs a command in process and keeps what it said.
#ifndef TLIN_TESTS_CLIENT_COMMAND_RUNNER_H_
#define TLIN_TESTS_CLIENT_COMMAND_RUNNER_H_

#include <sstream>
#include <string>

#include "client/commands.h"

namespace tlin::client {

struct CommandRunner {
  std::istringstream in;
  std::ostringstream out;
  std::ostringstream err;
  Interrupt interrupt;
  Io io{in, out, err, interrupt};

  int Run(int (*command)(const Args&, Io&), const Args& args) {
    out.str("");
    err.str("");
    return command(args, io);
  }
};

}  // namespace tlin::client

#endif  // TLIN_TESTS_CLIENT_COMMAND_RUNNER_H_
