// The commands of the program `tlin`. Each takes the arguments after its name
// and returns an exit code (exit_code.h). None exits or touches a global.
#ifndef TLIN_CLIENT_COMMANDS_H_
#define TLIN_CLIENT_COMMANDS_H_

#include <string>
#include <vector>

#include "client/io.h"

namespace tlin::client {

using Args = std::vector<std::string>;

// Finds the command in args[0] and runs it.
int RunTlin(const Args& args, Io& io);

int RunGenerate(const Args& args, Io& io);
int RunChat(const Args& args, Io& io);
int RunScore(const Args& args, Io& io);
int RunTokenize(const Args& args, Io& io);
int RunSessions(const Args& args, Io& io);
int RunModel(const Args& args, Io& io);
int RunHealth(const Args& args, Io& io);
int RunPlan(const Args& args, Io& io);

}  // namespace tlin::client

#endif  // TLIN_CLIENT_COMMANDS_H_
