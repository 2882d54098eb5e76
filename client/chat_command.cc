// tlin chat: a conversation, kept here and sent whole with each turn.
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/answer.h"
#include "client/command_support.h"
#include "client/exit_code.h"
#include "client/request_flags.h"

namespace tlin::client {
namespace {

constexpr char kAbout[] =
    "A conversation, line by line. Ctrl-C interrupts an answer, Ctrl-D ends. "
    "The model sees\nthe conversation so far as text, each turn after its "
    "speaker's name.\n";

struct ChatFlags : ServerFlags, SamplingFlags {
  std::string system;
  std::string user = "User:";
  std::string assistant = "Assistant:";
  bool verbose = false;

  void AddTo(FlagSet* flags) {
    flags->Add("address", &address, "Where tlind listens: host:port.");
    flags->Add("deadline", &deadline, "Time for each answer.");
    flags->Add("verbose", &verbose, "A line of figures after each answer.");
    flags->Add("system", &system, "Text in front of the conversation.");
    flags->Add("user", &user, "What stands before your turns.");
    flags->Add("assistant", &assistant, "What stands before the answers.");
    SamplingFlags::AddTo(flags);
  }
};

class Chat {
 public:
  Chat(const ChatFlags& flags, Io& io)
      : flags_(flags), io_(io), client_(flags.address) {
    if (!flags.system.empty()) transcript_ = absl::StrCat(flags.system, "\n");
    flags.FillIn(&request_);
    // A base model would go on to write the user's next turn as well.
    if (!flags.user.empty()) {
      request_.mutable_stopping()->add_stop(absl::StrCat("\n", flags.user));
    }
  }

  // One turn. Where it fails it leaves no trace in the conversation; what came
  // of an interrupted answer stays.
  int Turn(const std::string& line) {
    const std::string prompt = absl::StrCat(transcript_, flags_.user, " ", line,
                                            "\n", flags_.assistant);
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
    if (answer.status.ok() || answer.interrupted) {
      transcript_ = absl::StrCat(
          prompt, absl::StripTrailingAsciiWhitespace(answer.text), "\n");
    }
    return ExitCodeOf(answer, /*json=*/false, io_);
  }

 private:
  const ChatFlags& flags_;
  Io& io_;
  Client client_;
  v1::GenerateRequest request_;  // all but the text stays the same
  std::string transcript_;       // whole turns, ends with a newline
};

}  // namespace

int RunChat(const Args& args, Io& io) {
  ChatFlags chat_flags;
  FlagSet flags("tlin chat [flags]", kAbout);
  chat_flags.AddTo(&flags);
  if (const auto exit = ParseOnlyFlags(args, &flags, io)) return *exit;

  Chat chat(chat_flags, io);
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
