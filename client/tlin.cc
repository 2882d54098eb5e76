#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/command_support.h"
#include "client/commands.h"
#include "client/exit_code.h"

namespace tlin::client {
namespace {

struct Command {
  const char* name;
  int (*run)(const Args&, Io&);
  const char* help;
};

constexpr Command kCommands[] = {
    {"generate", RunGenerate, "continue a text, streamed to stdout"},
    {"chat", RunChat, "a conversation, line by line"},
    {"score", RunScore, "log-probabilities and perplexity of a text"},
    {"tokenize", RunTokenize, "text to token numbers, and back"},
    {"sessions", RunSessions, "list, fork, export, delete … sessions"},
    {"model", RunModel, "what the server serves"},
    {"plan", RunPlan, "memory and cost of a model, without a server"},
    {"health", RunHealth, "whether the server serves"},
};

void PrintHelp(std::ostream& out) {
  out << "Usage: tlin COMMAND [arguments] [flags]\n\n";
  for (const Command& command : kCommands) {
    out << absl::StrFormat("  %-10s %s\n", command.name, command.help);
  }
  out << "\ntlin COMMAND --help tells its flags.\n" << kExitCodeHelp;
}

}  // namespace

int RunTlin(const Args& args, Io& io) {
  if (args.empty()) {
    PrintHelp(io.err);
    return kExitUsage;
  }
  if (args[0] == "--help" || args[0] == "-h" || args[0] == "help") {
    PrintHelp(io.out);
    return Done(io);
  }
  for (const Command& command : kCommands) {
    if (args[0] == command.name) {
      return command.run(Args(args.begin() + 1, args.end()), io);
    }
  }
  return UsageError(
      absl::StrCat("'", args[0], "': unknown command (tlin --help lists them)"),
      io);
}

}  // namespace tlin::client
