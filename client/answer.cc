#include "client/answer.h"

#include <chrono>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/command_support.h"
#include "client/exit_code.h"
#include "client/waiting_line.h"

namespace tlin::client {
namespace {

constexpr std::chrono::milliseconds kShowWaitAfter{500};

void TakeIn(const v1::GenerateResponse& event, absl::Duration elapsed,
            Answer* answer) {
  if (event.has_started()) answer->started = event.started();
  if (event.has_finished()) answer->finished = event.finished();
  if (!event.has_chunk()) return;
  const int tokens = event.chunk().token_ids_size();
  if (answer->tokens == 0 && tokens > 0) {
    answer->first_token = elapsed;
    answer->tokens_of_first_chunk = tokens;
  }
  answer->tokens += tokens;
  answer->text += event.chunk().text();
}

}  // namespace

Answer Ask(const v1::GenerateRequest& request, const CallOptions& options,
           Client* client, Io& io,
           absl::FunctionRef<bool(const v1::GenerateResponse&)> show) {
  const auto start = std::chrono::steady_clock::now();
  const auto elapsed = [start] {
    return absl::FromChrono(std::chrono::steady_clock::now() - start);
  };
  Answer answer;
  const auto stream = client->Generate(request, options);
  const Interrupt::Scope interrupt(&io.interrupt,
                                   [&stream] { stream->Cancel(); });
  std::optional<WaitingLine> waiting;
  if (io.err_is_terminal) waiting.emplace(&io.err, kShowWaitAfter);

  bool finished = false;
  v1::GenerateResponse event;
  while (stream->Next(&event)) {
    TakeIn(event, elapsed(), &answer);
    if (waiting.has_value()) {
      if (event.has_started()) {
        waiting->SetPromptTokens(event.started().prompt_tokens());
      } else {
        waiting->Stop();
      }
    }
    finished = finished || event.has_finished();
    if (!show(event)) break;
  }
  answer.status = stream->Finish();
  if (waiting.has_value()) waiting->Stop();
  answer.total = elapsed();
  answer.interrupted = interrupt.fired();
  if (answer.status.ok() && !finished) {
    answer.status = absl::InternalError("the answer ended without Finished");
  }
  return answer;
}

int ExitCodeOf(const Answer& answer, bool json, Io& io) {
  if (answer.interrupted) {
    return Fail(absl::CancelledError("interrupted"), json, io);
  }
  if (!answer.status.ok()) return Fail(answer.status, json, io);
  if (answer.finished.reason() == v1::Finished::DEADLINE) {
    io.err << io.program << ": cut short by its deadline" << std::endl;
    return kExitUnavailable;
  }
  return kExitOk;
}

std::string Summary(const Answer& answer) {
  std::string text = absl::StrFormat(
      "%d prompt tokens (%d cached), %d generated in %.3f s",
      answer.started.prompt_tokens(), answer.started.cached_tokens(),
      answer.tokens, absl::ToDoubleSeconds(answer.total));
  if (answer.tokens > 0) {
    absl::StrAppendFormat(&text, "; first token after %.1f ms",
                          absl::ToDoubleMilliseconds(answer.first_token));
  }
  const int64_t later = answer.tokens - answer.tokens_of_first_chunk;
  const double seconds =
      absl::ToDoubleSeconds(answer.total - answer.first_token);
  if (later > 0 && seconds > 0) {
    absl::StrAppendFormat(&text, ", then %.1f tokens/s", later / seconds);
  }
  if (answer.finished.reason() != v1::Finished::REASON_UNSPECIFIED) {
    absl::StrAppend(&text, "; ",
                    v1::Finished::Reason_Name(answer.finished.reason()));
  }
  return text;
}

}  // namespace tlin::client
