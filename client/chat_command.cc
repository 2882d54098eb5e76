// tlin chat: a conversation, kept here and sent whole with each turn, or kept
// by the server in a session and sent turn by turn.
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/answer.h"
#include "client/command_support.h"
#include "client/exit_code.h"
#include "client/request_flags.h"

namespace tlin::client {
namespace {

constexpr char kChatAbout[] =
    "A conversation, line by line. Ctrl-C interrupts an answer, Ctrl-D ends. "
    "The model sees\nthe conversation so far as text, each turn after its "
    "speaker's name.\n";

struct ChatFlags : ServerFlags, SamplingFlags {
  std::string system;
  std::string user = "User:";
  std::string assistant = "Assistant:";
  std::string session;
  bool verbose = false;

  void AddTo(FlagSet* flags) {
    flags->Add("deadline", &deadline, "Time for each answer.");
    flags->Add("verbose", &verbose, "A line of figures after each answer.");
    flags->Add("system", &system, "Text in front of the conversation.");
    flags->Add("user", &user, "What stands before your turns.");
    flags->Add("assistant", &assistant, "What stands before the answers.");
    flags->Add("session", &session,
               "Name of a session on the server that keeps the conversation; "
               "it goes on where it was, or is made. Empty: none.");
    SamplingFlags::AddTo(flags);
    connection_flags.AddTo(flags);
  }
};

class Chat {
 public:
  Chat(const ChatFlags& flags, Io& io)
      : flags_(flags), io_(io), client_(flags.connection()) {
    if (!flags.system.empty()) transcript_ = absl::StrCat(flags.system, "\n");
    flags.FillIn(&request_);
    // A base model would go on to write the user's next turn as well.
    if (!flags.user.empty()) {
      request_.mutable_stopping()->add_stop(absl::StrCat("\n", flags.user));
    }
  }

  // The session is there, or is made. Without one there is nothing to do.
  absl::Status Begin() {
    if (flags_.session.empty()) return absl::OkStatus();
    request_.set_session_id(flags_.session);
    v1::CreateSessionRequest request;
    request.set_session_id(flags_.session);
    const auto made = client_.CreateSession(request, flags_.call_options());
    if (absl::IsAlreadyExists(made.status())) transcript_ = "\n";
    return made.ok() || absl::IsAlreadyExists(made.status()) ? absl::OkStatus()
                                                             : made.status();
  }

  // One turn. Where it fails it leaves no trace in the conversation; what came
  // of an interrupted answer stays.
  int Turn(const std::string& line) {
    const std::string prompt =
        absl::StrCat(transcript_, user_is_written_ ? "" : flags_.user, " ",
                     line, "\n", flags_.assistant);
    request_.set_text(prompt);
    const Answer answer = Ask(request_, flags_.call_options(), &client_, io_,
                              [this](const v1::GenerateResponse& event) {
                                io_.out << event.chunk().text() << std::flush;
                                return static_cast<bool>(io_.out);
                              });
    io_.out << std::endl;
    if (!io_.out) return Done(io_);
    if (flags_.verbose)
      io_.err << io_.program << ": " << Summary(answer) << std::endl;
    if (answer.status.ok() || answer.interrupted) Keep(prompt, answer);
    return ExitCodeOf(answer, /*json=*/false, io_);
  }

 private:
  void Keep(const std::string& prompt, const Answer& answer) {
    if (flags_.session.empty()) {
      transcript_ = absl::StrCat(
          prompt, absl::StripTrailingAsciiWhitespace(answer.text), "\n");
      return;
    }
    // The server has all of it, the stop string at its end, too.
    user_is_written_ =
        answer.finished.stop_match() == absl::StrCat("\n", flags_.user);
    transcript_ = user_is_written_ ? "" : "\n";
  }

  const ChatFlags& flags_;
  Io& io_;
  Client client_;
  v1::GenerateRequest request_;  // all but the text stays the same
  // What the model has to read before the next turn: whole turns, or with a
  // session only what the last one lacks.
  std::string transcript_;
  bool user_is_written_ = false;
};

}  // namespace

int RunChat(const Args& args, Io& io) {
  ChatFlags chat_flags;
  FlagSet flags("tlin chat [flags]", kChatAbout);
  chat_flags.AddTo(&flags);
  if (const auto exit = ParseOnlyFlags(args, &flags, io)) return *exit;

  Chat chat(chat_flags, io);
  if (const absl::Status begun = chat.Begin(); !begun.ok()) {
    return Fail(begun, /*json=*/false, io);
  }
  std::string line;
  for (;;) {
    if (io.in_is_terminal) io.err << "> " << std::flush;
    if (!std::getline(io.in, line)) break;
    if (line.empty()) continue;
    if (const auto at = FindInvalidUtf8(line); at.has_value()) {
      const int exit =
          UsageError(absl::StrCat("the line is not UTF-8 at byte ", *at), io);
      if (!io.in_is_terminal) return exit;
      continue;
    }
    const int exit = chat.Turn(line);
    // A person sees what happened and may go on; a script must be told.
    if (exit == kExitOutput) return exit;
    if (exit != kExitOk && !io.in_is_terminal) return exit;
  }
  if (io.in_is_terminal) io.err << std::endl;
  return Done(io);
}

}  // namespace tlin::client
