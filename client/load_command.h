// The program `tlin-load` as a function.
#ifndef TLIN_CLIENT_LOAD_COMMAND_H_
#define TLIN_CLIENT_LOAD_COMMAND_H_

#include "client/commands.h"

namespace tlin::client {

// Returns kExitOk where the load ran, whatever its requests' outcomes; where
// not one of them ended well, the exit code of the first failure.
int RunLoadCommand(const Args& args, Io& io);

}  // namespace tlin::client

#endif  // TLIN_CLIENT_LOAD_COMMAND_H_
