#include "engine/model/config.h"

#include <cmath>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace tlin {
namespace {

using Json = nlohmann::json;

// Caps that no model of this family comes near; they keep products of sizes in
// 64 bits and a hostile file from asking for absurd memory.
constexpr int64_t kMaxVocab = int64_t{1} << 24;
constexpr int64_t kMaxEmbedding = int64_t{1} << 16;
constexpr int64_t kMaxLayers = 1024;
constexpr int64_t kMaxWindow = int64_t{1} << 20;
constexpr int64_t kMaxFileBytes = int64_t{1} << 20;

// Reads integer fields of one JSON object and names what is wrong with them.
class FieldReader {
 public:
  FieldReader(const Json& json, absl::string_view name)
      : json_(json), name_(name) {}

  absl::Status Error(absl::string_view field, absl::string_view fault) const {
    return absl::InvalidArgumentError(
        absl::StrCat(name_, ": field \"", field, "\" ", fault));
  }

  absl::StatusOr<int32_t> Integer(const char* field, int64_t least,
                                  int64_t most) const {
    const auto found = json_.find(field);
    if (found == json_.end()) return Error(field, "is missing");
    const bool fits = found->is_number_unsigned()
                          ? found->get<uint64_t>() <= uint64_t(most)
                          : found->is_number_integer();
    if (!fits || found->get<int64_t>() < least ||
        found->get<int64_t>() > most) {
      // Only a number is shown: what else stands there may be long or deep.
      const std::string shown =
          found->is_number() ? found->dump() : found->type_name();
      return Error(field, absl::StrCat("is ", shown, ": want an integer in [",
                                       least, ", ", most, "]"));
    }
    return static_cast<int32_t>(found->get<int64_t>());
  }

  absl::StatusOr<std::optional<TokenId>> OptionalToken(
      const char* field, int32_t vocab_size) const {
    const auto found = json_.find(field);
    if (found == json_.end() || found->is_null()) {
      return std::optional<TokenId>();
    }
    TLIN_ASSIGN_OR_RETURN(const int32_t id, Integer(field, 0, vocab_size - 1));
    return std::optional<TokenId>(id);
  }

  absl::StatusOr<Architecture> ReadArchitecture() const {
    const auto found = json_.find("architecture");
    if (found == json_.end()) return Error("architecture", "is missing");
    for (const Architecture architecture :
         {Architecture::kTLinFormer, Architecture::kTConstFormer,
          Architecture::kTransformer}) {
      if (*found == ArchitectureName(architecture)) return architecture;
    }
    return Error("architecture",
                 "is not one of tlinformer, tconstformer, transformer");
  }

  // 0 stands for "auto".
  absl::StatusOr<int32_t> ReadHistoryWindow() const {
    const auto found = json_.find("history_window");
    if (found != json_.end() && *found == "auto") return 0;
    if (found != json_.end() && found->is_string()) {
      return Error("history_window", "is neither an integer nor \"auto\"");
    }
    return Integer("history_window", 1, kMaxWindow);
  }

 private:
  const Json& json_;
  const absl::string_view name_;
};

}  // namespace

const char* ArchitectureName(Architecture architecture) {
  switch (architecture) {
    case Architecture::kTLinFormer:
      return "tlinformer";
    case Architecture::kTConstFormer:
      return "tconstformer";
    case Architecture::kTransformer:
      return "transformer";
  }
  return "unknown";
}

int32_t ModelConfig::ffn_size() const {
  const int64_t wanted = static_cast<int64_t>(8.0 / 3.0 * n_embd);
  return static_cast<int32_t>((wanted + 255) / 256 * 256);
}

int64_t ModelConfig::HistoryWindow(int64_t history_tokens) const {
  if (!has_windows() || history_window > 0) return history_window;
  if (history_tokens < 1) return 0;
  const double factor = architecture == Architecture::kTLinFormer ? 12.0 : 8.33;
  const double rows = factor * std::log(static_cast<double>(history_tokens));
  return static_cast<int64_t>((rows + 7) / 8) * 8;
}

int64_t ModelConfig::CompressedRows(int64_t history_tokens) const {
  if (!has_windows()) return 0;
  return std::min(std::max<int64_t>(HistoryWindow(history_tokens), 1),
                  history_tokens);
}

int32_t ModelConfig::layers() const {
  return has_windows() ? n_block * block_depth : n_layer;
}

int64_t ModelConfig::ParameterCount() const {
  const int64_t d = n_embd;
  const int64_t per_layer = 4 * d * d + 4 * d      // qkv, out and their biases
                            + 4 * d                // two norms
                            + 3 * d * ffn_size();  // w1, w2, w3
  return int64_t{vocab_size} * d + layers() * per_layer + 2 * d;
}

absl::StatusOr<ModelConfig> ParseModelConfig(absl::string_view json,
                                             absl::string_view name) {
  if (static_cast<int64_t>(json.size()) > kMaxFileBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": is longer than ", kMaxFileBytes, " bytes"));
  }
  const Json parsed = Json::parse(json.begin(), json.end(), nullptr,
                                  /*allow_exceptions=*/false);
  if (!parsed.is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": is not a JSON object"));
  }
  const FieldReader reader(parsed, name);
  ModelConfig config;
  TLIN_ASSIGN_OR_RETURN(config.architecture, reader.ReadArchitecture());
  TLIN_ASSIGN_OR_RETURN(config.vocab_size,
                        reader.Integer("vocab_size", 1, kMaxVocab));
  TLIN_ASSIGN_OR_RETURN(config.n_embd,
                        reader.Integer("n_embd", 2, kMaxEmbedding));
  TLIN_ASSIGN_OR_RETURN(config.n_head,
                        reader.Integer("n_head", 1, config.n_embd));
  if (config.n_embd % config.n_head != 0) {
    return reader.Error(
        "n_head", absl::StrCat("is ", config.n_head,
                               ": does not divide n_embd ", config.n_embd));
  }
  if (config.head_size() % 2 != 0) {
    return reader.Error(
        "n_head", absl::StrCat("makes a head size of ", config.head_size(),
                               ", which is odd"));
  }
  if (config.has_windows()) {
    TLIN_ASSIGN_OR_RETURN(config.n_block,
                          reader.Integer("n_block", 1, kMaxLayers));
    TLIN_ASSIGN_OR_RETURN(
        config.block_depth,
        reader.Integer("block_depth", 2, kMaxLayers / config.n_block));
    TLIN_ASSIGN_OR_RETURN(config.history_window, reader.ReadHistoryWindow());
    TLIN_ASSIGN_OR_RETURN(config.generation_window,
                          reader.Integer("generation_window", 1, kMaxWindow));
  } else {
    TLIN_ASSIGN_OR_RETURN(config.n_layer,
                          reader.Integer("n_layer", 1, kMaxLayers));
  }
  TLIN_ASSIGN_OR_RETURN(
      config.eos_token_id,
      reader.OptionalToken("eos_token_id", config.vocab_size));
  TLIN_ASSIGN_OR_RETURN(
      config.bos_token_id,
      reader.OptionalToken("bos_token_id", config.vocab_size));
  return config;
}

absl::StatusOr<ModelConfig> LoadModelConfig(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(absl::StrCat(path, ": cannot be read"));
  std::string json(static_cast<size_t>(kMaxFileBytes + 1), '\0');
  file.read(json.data(), static_cast<std::streamsize>(json.size()));
  json.resize(static_cast<size_t>(file.gcount()));
  return ParseModelConfig(json, path);
}

}  // namespace tlin
