#include "server/request_codec.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/tokenizer/stream_decoder.h"

namespace tlin {
namespace {

constexpr int kMaxEchoedBytes = 64;

absl::Status CheckHasTokenizer(absl::string_view field,
                               const ServedModel& model) {
  if (model.tokenizer != nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(field, ": model '", model.name,
                   "' has no tokenizer and is served in token ids only"));
}

// How many tokens a prompt may have.
struct Bounds {
  int64_t least;
  int64_t most;
};

absl::Status WrongLength(absl::string_view field, absl::string_view is,
                         Bounds bounds) {
  return absl::InvalidArgumentError(absl::StrCat(
      field, " ", is, ": want ", bounds.least, " to ", bounds.most));
}

// `ids` is of the wire: any numbers.
absl::Status CheckTokenIds(absl::string_view field,
                           const google::protobuf::RepeatedField<int32_t>& ids,
                           int32_t vocab_size) {
  for (int i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0 && ids[i] < vocab_size) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(field, "[", i, "] is ", ids[i],
                     ": the vocabulary has the ids 0 to ", vocab_size - 1));
  }
  return absl::OkStatus();
}

// REQUIRES: the model has a tokenizer.
absl::StatusOr<std::vector<TokenId>> EncodeText(const std::string& text,
                                                const ServedModel& model,
                                                Bounds bounds) {
  // Refuses, before the work, what no segmentation could make short enough.
  const int64_t longest = std::max<int64_t>(1, model.longest_token_bytes);
  const int64_t fewest = static_cast<int64_t>(text.size()) / longest;
  if (fewest > bounds.most) {
    return WrongLength("text", absl::StrCat("has at least ", fewest, " tokens"),
                       bounds);
  }
  return model.tokenizer->Encode(text);
}

// `Message` is any with the oneof {text, token_ids}.
template <typename Message>
absl::StatusOr<std::vector<TokenId>> DecodePrompt(const Message& message,
                                                  const ServedModel& model,
                                                  Bounds bounds) {
  std::vector<TokenId> prompt;
  absl::string_view field = "text";
  switch (message.input_case()) {
    case Message::kText: {
      TLIN_RETURN_IF_ERROR(CheckHasTokenizer(field, model));
      TLIN_ASSIGN_OR_RETURN(prompt, EncodeText(message.text(), model, bounds));
      break;
    }
    case Message::kTokenIds: {
      field = "token_ids.ids";
      const auto& ids = message.token_ids().ids();
      TLIN_RETURN_IF_ERROR(CheckTokenIds(field, ids, model.info.vocab_size));
      prompt.assign(ids.begin(), ids.end());
      break;
    }
    case Message::INPUT_NOT_SET:
      return absl::InvalidArgumentError("input: neither text nor token_ids");
  }
  const int64_t tokens = static_cast<int64_t>(prompt.size());
  if (tokens < bounds.least || tokens > bounds.most) {
    return WrongLength(field, absl::StrCat("has ", tokens, " tokens"), bounds);
  }
  return prompt;
}

// Ranges are the engine's to check.
Sampling DecodeSampling(const v1::Sampling& wire, uint64_t fresh_seed) {
  Sampling s;
  if (wire.has_temperature()) s.temperature = wire.temperature();
  if (wire.has_top_k()) s.top_k = wire.top_k();
  if (wire.has_top_p()) s.top_p = wire.top_p();
  if (wire.has_min_p()) s.min_p = wire.min_p();
  if (wire.has_repetition_penalty()) {
    s.repetition_penalty = wire.repetition_penalty();
  }
  if (wire.has_frequency_penalty()) {
    s.frequency_penalty = wire.frequency_penalty();
  }
  if (wire.has_presence_penalty()) s.presence_penalty = wire.presence_penalty();
  s.seed = wire.has_seed() ? wire.seed() : fresh_seed;
  return s;
}

Stopping DecodeStopping(const v1::Stopping& wire) {
  Stopping stopping;
  if (wire.has_max_new_tokens()) {
    stopping.max_new_tokens = wire.max_new_tokens();
  }
  stopping.min_new_tokens = wire.min_new_tokens();
  stopping.stop.assign(wire.stop().begin(), wire.stop().end());
  stopping.stop_token_ids.assign(wire.stop_token_ids().begin(),
                                 wire.stop_token_ids().end());
  stopping.ignore_eos = wire.ignore_eos();
  stopping.include_stop = wire.include_stop();
  return stopping;
}

}  // namespace

absl::Status CheckModel(const std::string& name, const ServedModel& model) {
  if (name.empty() || name == model.name) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat(
      "model: '", absl::CHexEscape(name.substr(0, kMaxEchoedBytes)),
      "' is not served here; '", model.name, "' is"));
}

absl::StatusOr<Request> DecodeGenerate(const v1::GenerateRequest& message,
                                       const ServedModel& model,
                                       uint64_t fresh_seed) {
  TLIN_RETURN_IF_ERROR(CheckModel(message.model(), model));
  Request request;
  request.kind = Request::Kind::kGenerate;
  request.session_id = message.session_id();
  request.sampling = DecodeSampling(message.sampling(), fresh_seed);
  request.stopping = DecodeStopping(message.stopping());
  request.output.logprobs = message.output().logprobs();
  request.output.token_ids_only = message.output().token_ids_only();
  request.priority = message.priority();
  request.bypass_prefix_cache = message.bypass_prefix_cache();
  if (!request.stopping.stop.empty()) {
    TLIN_RETURN_IF_ERROR(CheckHasTokenizer("stopping.stop", model));
  }
  // Room for one new token at least.
  const Bounds bounds = {1, model.info.max_context_tokens - 1};
  TLIN_ASSIGN_OR_RETURN(request.prompt, DecodePrompt(message, model, bounds));
  return request;
}

absl::StatusOr<Request> DecodeScore(const v1::ScoreRequest& message,
                                    const ServedModel& model) {
  TLIN_RETURN_IF_ERROR(CheckModel(message.model(), model));
  Request request;
  request.kind = Request::Kind::kScore;
  // The first token is given, so it takes two to have one to score.
  const Bounds bounds = {2, model.info.max_context_tokens};
  TLIN_ASSIGN_OR_RETURN(request.prompt, DecodePrompt(message, model, bounds));
  return request;
}

absl::StatusOr<v1::TokenizeResponse> Tokenize(
    const v1::TokenizeRequest& message, const ServedModel& model) {
  TLIN_RETURN_IF_ERROR(CheckModel(message.model(), model));
  TLIN_RETURN_IF_ERROR(CheckHasTokenizer("text", model));
  v1::TokenizeResponse response;
  for (const TokenId id : model.tokenizer->Encode(message.text())) {
    response.add_token_ids(id);
    StreamDecoder decoder;
    std::string* piece = response.add_pieces();
    decoder.Append(model.tokenizer->Bytes(id), piece);
    decoder.Flush(piece);
  }
  return response;
}

absl::StatusOr<v1::DetokenizeResponse> Detokenize(
    const v1::DetokenizeRequest& message, const ServedModel& model) {
  TLIN_RETURN_IF_ERROR(CheckModel(message.model(), model));
  TLIN_RETURN_IF_ERROR(CheckHasTokenizer("token_ids", model));
  TLIN_RETURN_IF_ERROR(
      CheckTokenIds("token_ids", message.token_ids(), model.info.vocab_size));
  v1::DetokenizeResponse response;
  StreamDecoder decoder;
  for (const TokenId id : message.token_ids()) {
    // A model may have more rows than its tokenizer has words: they are empty.
    if (id >= model.tokenizer->vocab_size()) continue;
    decoder.Append(model.tokenizer->Bytes(id), response.mutable_text());
  }
  decoder.Flush(response.mutable_text());
  return response;
}

absl::StatusOr<v1::Model> DescribeModel(const v1::GetModelRequest& message,
                                        const ServedModel& model) {
  TLIN_RETURN_IF_ERROR(CheckModel(message.model(), model));
  const ModelConfig& config = model.config;
  v1::Model wire;
  wire.set_name(model.name);
  wire.set_architecture(model.info.architecture);
  wire.set_device(model.info.device);
  wire.set_dtype(model.info.dtype);
  wire.set_parameters(model.info.parameters);
  wire.set_vocab_size(config.vocab_size);
  wire.set_n_embd(config.n_embd);
  wire.set_n_head(config.n_head);
  wire.set_n_block(config.n_block);
  wire.set_block_depth(config.block_depth);
  wire.set_n_layer(config.n_layer);
  wire.set_history_window(static_cast<int32_t>(
      config.HistoryWindow(model.info.max_context_tokens)));
  wire.set_generation_window(config.generation_window);
  wire.set_has_tokenizer(model.tokenizer != nullptr);
  if (config.eos_token_id) wire.set_eos_token_id(*config.eos_token_id);
  wire.set_max_context_tokens(model.info.max_context_tokens);
  wire.set_max_sessions(model.max_sessions);
  wire.set_slots(model.info.slots);
  wire.set_session_cache_bytes(model.session_cache_bytes);
  if (model.step_prices) {
    const StepPrices prices = model.step_prices();
    v1::StepCosts* const costs = wire.mutable_step_costs();
    costs->set_decode_step(prices.decode_step);
    costs->set_decode_gflop(1e3 * prices.decode_unit);
    costs->set_fill_gflop(1e3 * prices.fill_unit);
    costs->set_sync_product_gflop(1e3 * prices.sync.product);
    costs->set_sync_attention_gflop(1e3 * prices.sync.attention);
  }
  return wire;
}

}  // namespace tlin
