// The process of tlin-load.
#include <unistd.h>

#include <iostream>

#include "client/load_command.h"

int main(int argc, char** argv) {
  // Lives to the end of the process: the signal thread never stops using it.
  auto* const interrupt = new tlin::client::Interrupt;
  tlin::client::FireOnSigint(interrupt);
  tlin::client::Io io{.in = std::cin,
                      .out = std::cout,
                      .err = std::cerr,
                      .interrupt = *interrupt,
                      .program = "tlin-load",
                      .err_is_terminal = isatty(STDERR_FILENO) == 1};
  return tlin::client::RunLoadCommand(tlin::client::Args(argv + 1, argv + argc),
                                      io);
}
