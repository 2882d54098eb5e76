// Runs a command in process and keeps what it said.
#ifndef TLIN_TESTS_CLIENT_COMMAND_RUNNER_H_
#define TLIN_TESTS_CLIENT_COMMAND_RUNNER_H_

#include <sstream>

#include "client/commands.h"
#include "tests/client/watched_stream.h"

namespace tlin::client {

struct CommandRunner {
  std::istringstream in;
  WatchedStream out;
  WatchedStream err;
  Interrupt interrupt;
  Io io{in, out, err, interrupt};

  int Run(int (*command)(const Args&, Io&), const Args& args) {
    out.Reset();
    err.Reset();
    return command(args, io);
  }
};

}  // namespace tlin::client

#endif  // TLIN_TESTS_CLIENT_COMMAND_RUNNER_H_
