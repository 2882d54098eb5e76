// What the commands share: flags of the server, input, the ways to end.
#ifndef TLIN_CLIENT_COMMAND_SUPPORT_H_
#define TLIN_CLIENT_COMMAND_SUPPORT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/client.h"
#include "client/commands.h"
#include "client/connection_flags.h"
#include "client/flags.h"

namespace tlin::client {

struct ServerFlags {
  ConnectionFlags connection_flags;
  absl::Duration deadline = absl::InfiniteDuration();
  bool json = false;

  void AddTo(FlagSet* flags);
  // After ParseFlags.
  const Connection& connection() const { return connection_flags.connection(); }
  CallOptions call_options() const { return {.deadline = deadline}; }
};

// Sets the flags and *rest, the other arguments. An exit code where the command
// ends here: 0 after --help, 2 after a line on stderr.
std::optional<int> ParseFlags(const Args& args, FlagSet* flags, Io& io,
                              Args* rest);

// As above for a command that takes flags only.
std::optional<int> ParseOnlyFlags(const Args& args, FlagSet* flags, Io& io);

// One line on stderr; returns kExitUsage.
int UsageError(absl::string_view message, Io& io);

// A call that failed: one line on stderr, with `json` also an object on stdout.
int Fail(const absl::Status& status, bool json, Io& io);

// Flushes stdout. kExitOk, or kExitOutput with a line on stderr.
int Done(Io& io);

// The one argument, or all of stdin where it is "-" or missing.
// INVALID_ARGUMENT for more arguments or for bytes that are not UTF-8.
absl::StatusOr<std::string> ReadText(const Args& rest, Io& io);

// Fills the input of a GenerateRequest or ScoreRequest: `ids` where there are
// any, else text as ReadText finds it.
template <typename Request>
absl::Status SetInput(const Args& rest, const std::vector<int32_t>& ids, Io& io,
                      Request* request) {
  if (ids.empty()) {
    absl::StatusOr<std::string> text = ReadText(rest, io);
    if (!text.ok()) return text.status();
    request->set_text(*std::move(text));
    return absl::OkStatus();
  }
  if (!rest.empty()) {
    return absl::InvalidArgumentError("--token_ids: there is a text as well");
  }
  request->mutable_token_ids()->mutable_ids()->Add(ids.begin(), ids.end());
  return absl::OkStatus();
}

// Where the first byte that is not UTF-8 stands; nullopt where there is none.
std::optional<size_t> FindInvalidUtf8(absl::string_view text);

}  // namespace tlin::client

#endif  // TLIN_CLIENT_COMMAND_SUPPORT_H_
