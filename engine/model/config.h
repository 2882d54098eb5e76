// A model's shape: config.json of a model directory. MODEL: "Configuration".
#ifndef TLIN_ENGINE_MODEL_CONFIG_H_
#define TLIN_ENGINE_MODEL_CONFIG_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/token.h"

namespace tlin {

enum class Architecture { kTLinFormer, kTConstFormer, kTransformer };

// "tlinformer", "tconstformer", "transformer".
const char* ArchitectureName(Architecture architecture);

struct ModelConfig {
  Architecture architecture = Architecture::kTLinFormer;
  int32_t vocab_size = 0;
  int32_t n_embd = 0;  // D
  int32_t n_head = 0;
  int32_t n_block = 0;            // 0 for the transformer
  int32_t block_depth = 0;        // H + 2; 0 for the transformer
  int32_t history_window = 0;     // W_oh; 0: "auto" (and for the transformer)
  int32_t generation_window = 0;  // W_og; 0 for the transformer
  int32_t n_layer = 0;            // transformer only
  std::optional<TokenId> eos_token_id;
  std::optional<TokenId> bos_token_id;

  // How it is served; not in config.json. The first block's q, k and v of the
  // history come from a vocabulary table: a tlinformer does not store them
  // (MODEL: "What follows for an engine"). False for the transformer.
  bool derived_history = false;

  int32_t head_size() const { return n_embd / n_head; }
  int32_t ffn_size() const;  // F
  bool has_windows() const {
    return architecture != Architecture::kTransformer;
  }

  // W_oh for a history of `history_tokens` (MODEL: "auto" depends on it), not
  // bounded by the history itself. 0 for the transformer.
  int64_t HistoryWindow(int64_t history_tokens) const;
  // Rows of a compressed history: W_oh, or as many tokens as there are. 0
  // without history, and for the transformer.
  int64_t CompressedRows(int64_t history_tokens) const;

  // Layers with weights of their own: n_block * block_depth, or n_layer.
  int32_t layers() const;
  int64_t ParameterCount() const;
};

// INVALID_ARGUMENT for malformed JSON, a missing or misspelt field, a value out
// of range; the message names `name` and the field. Unknown fields are ignored.
absl::StatusOr<ModelConfig> ParseModelConfig(absl::string_view json,
                                             absl::string_view name);
// NOT_FOUND where there is no such file.
absl::StatusOr<ModelConfig> LoadModelConfig(const std::string& path);

}  // namespace tlin

#endif  // TLIN_ENGINE_MODEL_CONFIG_H_
