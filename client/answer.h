// One request and its answer, read to the end: what `generate` and `chat`
// share.
#ifndef TLIN_CLIENT_ANSWER_H_
#define TLIN_CLIENT_ANSWER_H_

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/client.h"
#include "client/io.h"

namespace tlin::client {

struct Answer {
  // OK only where the server said Finished.
  absl::Status status;
  bool interrupted = false;  // by Ctrl-C; status is then of no interest
  v1::Started started;
  v1::Finished finished;
  std::string text;
  int64_t tokens = 0;
  int64_t tokens_of_first_chunk = 0;
  // From the call's start, on the client's clock. first_token holds where
  // tokens is above 0.
  absl::Duration first_token;
  absl::Duration total;
};

// Blocks until the answer's end. `show` gets each event on this thread, at
// once; where it returns false the answer is cancelled. Ctrl-C cancels, too.
Answer Ask(const v1::GenerateRequest& request, const CallOptions& options,
           Client* client, Io& io,
           absl::FunctionRef<bool(const v1::GenerateResponse&)> show);

// kExitOk, or the exit code of what went wrong, after a line on stderr (with
// `json` also an object on stdout). An answer cut short by its deadline is
// kExitUnavailable.
int ExitCodeOf(const Answer& answer, bool json, Io& io);

// One line: tokens, first token, tokens per second, why it ended.
std::string Summary(const Answer& answer);

}  // namespace tlin::client

#endif  // TLIN_CLIENT_ANSWER_H_
