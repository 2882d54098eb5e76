// tlin score: how likely a model finds a text, token by token.
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/command_support.h"
#include "client/event_json.h"
#include "nlohmann/json.hpp"

namespace tlin::client {
namespace {

constexpr char kScoreAbout[] =
    "Log-probability (natural) and rank of each token after the first, given "
    "those before it;\nthen their sum and the perplexity.\n";

std::string ScoreJson(const v1::ScoreResponse& response) {
  nlohmann::ordered_json json = {
      {"tokens", nlohmann::ordered_json::array()},
      {"negative_log_likelihood", response.negative_log_likelihood()},
      {"perplexity", response.perplexity()}};
  for (const v1::TokenLogprobs& token : response.tokens()) {
    json["tokens"].push_back(LogprobsJson(token));
  }
  return OneLine(json);
}

// The text of each scored token; empty where the server cannot tell.
std::vector<std::string> Pieces(const v1::ScoreRequest& request,
                                const ServerFlags& server, Client* client) {
  if (!request.has_text()) return {};
  v1::TokenizeRequest tokenize;
  tokenize.set_model(request.model());
  tokenize.set_text(request.text());
  const auto tokens = client->Tokenize(tokenize, server.call_options());
  if (!tokens.ok() || tokens->pieces_size() == 0) return {};
  return {tokens->pieces().begin() + 1, tokens->pieces().end()};
}

void PrintTable(const v1::ScoreResponse& response,
                const std::vector<std::string>& pieces, std::ostream& out) {
  const bool with_pieces =
      pieces.size() == static_cast<size_t>(response.tokens_size());
  out << absl::StrFormat("%8s %11s %7s%s\n", "token", "logprob", "rank",
                         with_pieces ? "  text" : "");
  for (int i = 0; i < response.tokens_size(); ++i) {
    const v1::TokenLogprobs& token = response.tokens(i);
    out << absl::StrFormat("%8d %11.4f %7d", token.token_id(), token.logprob(),
                           token.rank());
    if (with_pieces) {
      out << absl::StrCat("  \"", absl::Utf8SafeCEscape(pieces[i]), "\"");
    }
    out << "\n";
  }
  out << absl::StrFormat(
      "%d tokens, negative log-likelihood %.4f nats, perplexity %.4f\n",
      response.tokens_size(), response.negative_log_likelihood(),
      response.perplexity());
}

}  // namespace

int RunScore(const Args& args, Io& io) {
  ServerFlags server;
  std::string model;
  std::vector<int32_t> token_ids;
  FlagSet flags("tlin score [TEXT | -] [flags]", kScoreAbout);
  server.AddTo(&flags);
  flags.Add("model", &model, "Name of the model; empty: the server's default.");
  flags.Add("token_ids", &token_ids, "Score these tokens, no text: 1,2,3.");
  Args rest;
  if (const auto exit = ParseFlags(args, &flags, io, &rest)) return *exit;
  v1::ScoreRequest request;
  if (const absl::Status input = SetInput(rest, token_ids, io, &request);
      !input.ok()) {
    return UsageError(input.message(), io);
  }
  request.set_model(model);

  Client client(server.connection());
  const auto response = client.Score(request, server.call_options());
  if (!response.ok()) return Fail(response.status(), server.json, io);
  if (server.json) {
    io.out << ScoreJson(*response) << "\n";
  } else {
    PrintTable(*response, Pieces(request, server, &client), io.out);
  }
  return Done(io);
}

}  // namespace tlin::client
