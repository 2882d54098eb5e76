// tlin tokenize: text to token numbers and, with --decode, back.
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/command_support.h"
#include "client/event_json.h"
#include "nlohmann/json.hpp"

namespace tlin::client {
namespace {

constexpr char kTokenizeAbout[] =
    "Prints the tokens of TEXT; with --decode the text of token numbers, which "
    "are\narguments or come from stdin.\n";

struct TokenizeFlags : ServerFlags {
  std::string model;
  bool decode = false;
  bool pieces = false;
};

int Encode(const TokenizeFlags& flags, const Args& rest, Io& io) {
  absl::StatusOr<std::string> text = ReadText(rest, io);
  if (!text.ok()) return UsageError(text.status().message(), io);
  v1::TokenizeRequest request;
  request.set_model(flags.model);
  request.set_text(*std::move(text));
  Client client(flags.connection());
  const auto response = client.Tokenize(request, flags.call_options());
  if (!response.ok()) return Fail(response.status(), flags.json, io);
  if (flags.json) {
    io.out << OneLine({{"token_ids", response->token_ids()},
                       {"pieces", response->pieces()}})
           << "\n";
  } else if (flags.pieces) {
    for (int i = 0; i < response->token_ids_size(); ++i) {
      io.out << absl::StrFormat("%8d", response->token_ids(i));
      if (i < response->pieces_size()) {
        io.out << "  \"" << absl::Utf8SafeCEscape(response->pieces(i)) << '"';
      }
      io.out << "\n";
    }
  } else {
    io.out << absl::StrJoin(response->token_ids(), " ") << "\n";
  }
  return Done(io);
}

int Decode(const TokenizeFlags& flags, const Args& rest, Io& io) {
  absl::StatusOr<std::string> text = absl::StrJoin(rest, " ");
  if (rest.empty() || *text == "-") text = ReadText({}, io);
  if (!text.ok()) return UsageError(text.status().message(), io);
  std::vector<int32_t> ids;
  if (!ParseIds(*text, &ids)) {
    return UsageError("--decode: want numbers such as 1 2 3", io);
  }
  v1::DetokenizeRequest request;
  request.set_model(flags.model);
  request.mutable_token_ids()->Add(ids.begin(), ids.end());
  Client client(flags.connection());
  const auto response = client.Detokenize(request, flags.call_options());
  if (!response.ok()) return Fail(response.status(), flags.json, io);
  if (flags.json) {
    io.out << OneLine({{"text", response->text()}}) << "\n";
  } else {
    // As it is, so that a pipe gets exactly the text.
    io.out << response->text() << (io.out_is_terminal ? "\n" : "");
  }
  return Done(io);
}

}  // namespace

int RunTokenize(const Args& args, Io& io) {
  TokenizeFlags values;
  FlagSet flags("tlin tokenize [TEXT | -] [flags]", kTokenizeAbout);
  values.AddTo(&flags);
  flags.Add("model", &values.model,
            "Name of the model; empty: the server's default.");
  flags.Add("decode", &values.decode, "From numbers to text.");
  flags.Add("pieces", &values.pieces, "A line for each token, with its text.");
  Args rest;
  if (const auto exit = ParseFlags(args, &flags, io, &rest)) return *exit;
  return values.decode ? Decode(values, rest, io) : Encode(values, rest, io);
}

}  // namespace tlin::client
