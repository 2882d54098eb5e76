#include "client/command_support.h"

#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/event_json.h"
#include "client/exit_code.h"

namespace tlin::client {

void ServerFlags::AddTo(FlagSet* flags) {
  flags->Add("deadline", &deadline,
             "Time for the whole call; the server gives up then, too.");
  flags->Add("json", &json, "Print JSON, one object a line.");
  connection_flags.AddTo(flags);
}

std::optional<int> ParseFlags(const Args& args, FlagSet* flags, Io& io,
                              Args* rest) {
  absl::StatusOr<Args> parsed = flags->Parse(args);
  if (!parsed.ok()) return UsageError(parsed.status().message(), io);
  if (flags->help_wanted()) {
    io.out << flags->Help() << kExitCodeHelp;
    return Done(io);
  }
  *rest = *std::move(parsed);
  return std::nullopt;
}

std::optional<int> ParseOnlyFlags(const Args& args, FlagSet* flags, Io& io) {
  Args rest;
  if (const auto exit = ParseFlags(args, flags, io, &rest)) return exit;
  if (rest.empty()) return std::nullopt;
  return UsageError(absl::StrCat("'", rest[0], "': only flags are taken here"),
                    io);
}

int UsageError(absl::string_view message, Io& io) {
  io.err << io.program << ": " << message << std::endl;
  return kExitUsage;
}

int Fail(const absl::Status& status, bool json, Io& io) {
  if (json) io.out << ErrorJson(status) << std::endl;
  io.err << io.program << ": " << DescribeError(status) << std::endl;
  return ExitCodeFor(status);
}

int Done(Io& io) {
  if (io.out.flush()) return kExitOk;
  io.err << io.program << ": cannot write the output" << std::endl;
  return kExitOutput;
}

absl::StatusOr<std::string> ReadText(const Args& rest, Io& io) {
  if (rest.size() > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", rest[1], "': one text only; quote it"));
  }
  std::string text;
  if (rest.empty() || rest[0] == "-") {
    if (io.in_is_terminal) {
      io.err << "Reading the text from the terminal; Ctrl-D ends it."
             << std::endl;
    }
    text.assign(std::istreambuf_iterator<char>(io.in), {});
    if (io.in.bad()) return absl::InvalidArgumentError("cannot read stdin");
  } else {
    text = rest[0];
  }
  if (const auto at = FindInvalidUtf8(text); at.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the text is not UTF-8 at byte ", *at));
  }
  return text;
}

std::optional<size_t> FindInvalidUtf8(absl::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto byte = [&](size_t at) -> uint32_t {
      return at < text.size() ? static_cast<unsigned char>(text[at]) : 0;
    };
    const uint32_t lead = byte(i);
    size_t length = 1;
    uint32_t code = lead;
    if (lead >= 0xF0) {
      length = 4;
      code = lead & 0x07;
    } else if (lead >= 0xE0) {
      length = 3;
      code = lead & 0x0F;
    } else if (lead >= 0xC0) {
      length = 2;
      code = lead & 0x1F;
    }
    for (size_t k = 1; k < length; ++k) {
      if ((byte(i + k) & 0xC0) != 0x80) return i;
      code = (code << 6) | (byte(i + k) & 0x3F);
    }
    // Continuation bytes in front, overlong forms, surrogates, beyond Unicode.
    constexpr uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
    if ((length == 1 && lead >= 0x80) || lead >= 0xF8 ||
        code < kSmallest[length] || (code >= 0xD800 && code <= 0xDFFF) ||
        code > 0x10FFFF) {
      return i;
    }
    i += length;
  }
  return std::nullopt;
}

}  // namespace tlin::client
