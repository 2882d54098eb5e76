// A command's surroundings as parameters, so that tests run commands in
// process.
#ifndef TLIN_CLIENT_IO_H_
#define TLIN_CLIENT_IO_H_

#include <istream>
#include <ostream>

#include "client/interrupt.h"

namespace tlin::client {

struct Io {
  std::istream& in;
  std::ostream& out;  // the answer, nothing else
  std::ostream& err;  // everything said about it
  Interrupt& interrupt;
  const char* program = "tlin";  // in front of messages
  bool in_is_terminal = false;
  bool out_is_terminal = false;
  bool err_is_terminal = false;
};

}  // namespace tlin::client

#endif  // TLIN_CLIENT_IO_H_
