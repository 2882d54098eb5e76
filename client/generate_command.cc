// tlin generate: one prompt, its continuation on stdout as it comes.
#include <string>

#include "client/answer.h"
#include "client/command_support.h"
#include "client/event_json.h"
#include "client/request_flags.h"

namespace tlin::client {
namespace {

constexpr char kGenerateAbout[] =
    "Continues TEXT (all of stdin where it is - or missing, taken as it is) "
    "and "
    "streams\nthe continuation to stdout.\n";

// Text as it is, so that a pipe gets exactly the answer; numbers with spaces.
void Print(const v1::GenerateResponse& event, bool ids_only,
           std::ostream& out) {
  if (!ids_only) {
    out << event.chunk().text() << std::flush;
    return;
  }
  for (int32_t id : event.chunk().token_ids()) out << id << ' ';
  out << std::flush;
}

}  // namespace

int RunGenerate(const Args& args, Io& io) {
  ServerFlags server;
  RequestFlags fields;
  bool verbose = false;
  FlagSet flags("tlin generate [TEXT | -] [flags]", kGenerateAbout);
  server.AddTo(&flags);
  flags.Add("verbose", &verbose, "End with a line of figures on stderr.");
  fields.AddTo(&flags);
  Args rest;
  if (const auto exit = ParseFlags(args, &flags, io, &rest)) return *exit;
  if (fields.logprobs.value_or(0) > 0 && !server.json) {
    return UsageError("--logprobs: is shown with --json only", io);
  }
  v1::GenerateRequest request;
  if (const absl::Status input = SetInput(rest, fields.token_ids, io, &request);
      !input.ok()) {
    return UsageError(input.message(), io);
  }
  fields.FillIn(&request);

  Client client(server.connection());
  const bool ids_only = fields.token_ids_only.value_or(false);
  const Answer answer = Ask(request, server.call_options(), &client, io,
                            [&](const v1::GenerateResponse& event) {
                              if (server.json) {
                                io.out << EventJson(event) << std::endl;
                              } else {
                                Print(event, ids_only, io.out);
                              }
                              return static_cast<bool>(io.out);
                            });
  const bool open_line = !answer.text.empty() && answer.text.back() != '\n';
  if (!server.json && answer.tokens > 0 &&
      (ids_only || (io.out_is_terminal && open_line))) {
    io.out << std::endl;
  }
  if (!io.out) return Done(io);
  if (verbose) io.err << io.program << ": " << Summary(answer) << std::endl;
  return ExitCodeOf(answer, server.json, io);
}

}  // namespace tlin::client
