// The command line of tlin. Commands live in *_command.cc; this is their
// process.
#include <unistd.h>

#include <iostream>

#include "client/commands.h"

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  // Lives to the end of the process: the signal thread never stops using it.
  auto* const interrupt = new tlin::client::Interrupt;
  tlin::client::FireOnSigint(interrupt);
  tlin::client::Io io{.in = std::cin,
                      .out = std::cout,
                      .err = std::cerr,
                      .interrupt = *interrupt,
                      .in_is_terminal = isatty(STDIN_FILENO) == 1,
                      .out_is_terminal = isatty(STDOUT_FILENO) == 1,
                      .err_is_terminal = isatty(STDERR_FILENO) == 1};
  return tlin::client::RunTlin(tlin::client::Args(argv + 1, argv + argc), io);
}
