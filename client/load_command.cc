#include "client/load_command.h"

#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/client.h"
#include "client/command_support.h"
#include "client/exit_code.h"
#include "client/load_flags.h"
#include "client/load_prompts.h"
#include "client/load_report.h"
#include "client/load_run.h"

namespace tlin::client {
namespace {

constexpr char kLoadAbout[] =
    "Sends requests to tlind and measures. Open loop with --rate, closed loop "
    "with\n--concurrency; ends by itself after --requests or --duration. "
    "Latencies count from when a\nrequest was due, in an open loop its drawn "
    "arrival; 'send lag' is the generator's share.\n'inter-token' is between "
    "chunks: one that carries several tokens counts once. Exit code 0\nwhere "
    "any request ended well.\n";

int WriteFigures(const LoadOptions& options, const LoadResult& result, Io& io) {
  if (options.json == "-") {
    io.out << LoadJson(options, result) << "\n";
    return Done(io);
  }
  PrintLoad(result, io.out);
  if (!options.json.empty()) {
    std::ofstream file(options.json);
    file << LoadJson(options, result) << "\n";
    if (!file.flush()) {
      io.err << io.program << ": --json: cannot write " << options.json
             << std::endl;
      return kExitOutput;
    }
  }
  return Done(io);
}

}  // namespace

int RunLoadCommand(const Args& args, Io& io) {
  FlagSet flags("tlin-load (--requests=N | --duration=T) [flags]", kLoadAbout);
  LoadFlags load_flags(&flags);
  if (const auto exit = ParseOnlyFlags(args, &flags, io)) return *exit;
  LoadOptions options;
  if (const absl::Status status = load_flags.Get(&options); !status.ok()) {
    return UsageError(status.message(), io);
  }

  Client client(options.connection);
  v1::GetModelRequest get_model;
  get_model.set_model(options.model);
  const auto model = client.GetModel(get_model, {.deadline = options.deadline});
  if (!model.ok()) return Fail(model.status(), /*json=*/false, io);
  const auto prompts = LoadPrompts::Create(options, model->vocab_size());
  if (!prompts.ok()) return UsageError(prompts.status().message(), io);

  LoadRun run(options, *prompts);
  const Interrupt::Scope interrupt(&io.interrupt, [&run] { run.Stop(); });
  const LoadResult result = run.Run();
  const int written = WriteFigures(options, result, io);
  if (written != kExitOk) return written;
  if (result.interrupted) return kExitInterrupted;
  if (result.ok > 0 || result.started == 0) return kExitOk;
  return Fail(result.first_error, /*json=*/false, io);
}

}  // namespace tlin::client
