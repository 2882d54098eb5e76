// tlin model: what the server serves.
#include <string>

#include "client/command_support.h"
#include "client/event_json.h"
#include "nlohmann/json.hpp"

namespace tlin::client {
namespace {

constexpr char kModelAbout[] =
    "Shape, device and limits of the served model.\n";

// Fields in the order of the proto; those that the architecture does not have
// are left out.
nlohmann::ordered_json ModelJson(const v1::Model& model) {
  nlohmann::ordered_json json = {{"name", model.name()},
                                 {"architecture", model.architecture()},
                                 {"device", model.device()},
                                 {"dtype", model.dtype()},
                                 {"parameters", model.parameters()},
                                 {"vocab_size", model.vocab_size()},
                                 {"n_embd", model.n_embd()},
                                 {"n_head", model.n_head()}};
  if (model.n_layer() > 0) json["n_layer"] = model.n_layer();
  if (model.n_block() > 0) {
    json["n_block"] = model.n_block();
    json["block_depth"] = model.block_depth();
    json["history_window"] = model.history_window();
    json["generation_window"] = model.generation_window();
  }
  json["has_tokenizer"] = model.has_tokenizer();
  if (model.has_eos_token_id()) json["eos_token_id"] = model.eos_token_id();
  json["max_context_tokens"] = model.max_context_tokens();
  json["max_sessions"] = model.max_sessions();
  json["slots"] = model.slots();
  json["session_cache_bytes"] = model.session_cache_bytes();
  return json;
}

}  // namespace

int RunModel(const Args& args, Io& io) {
  ServerFlags server;
  v1::GetModelRequest request;
  FlagSet flags("tlin model [flags]", kModelAbout);
  server.AddTo(&flags);
  flags.Add("model", request.mutable_model(),
            "Name of the model; empty: the server's default.");
  if (const auto exit = ParseOnlyFlags(args, &flags, io)) return *exit;

  Client client(server.connection());
  const auto model = client.GetModel(request, server.call_options());
  if (!model.ok()) return Fail(model.status(), server.json, io);
  const nlohmann::ordered_json json = ModelJson(*model);
  if (server.json) {
    io.out << OneLine(json) << "\n";
  } else {
    io.out << FieldLines(json);
  }
  return Done(io);
}

}  // namespace tlin::client
