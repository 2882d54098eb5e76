// From a model directory to an engine: the only file that knows every part.
#ifndef TLIN_ENGINE_LOAD_ENGINE_H_
#define TLIN_ENGINE_LOAD_ENGINE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "engine/model/config.h"
#include "engine/model_runner.h"
#include "engine/tokenizer/tokenizer.h"

namespace tlin {

struct LoadOptions {
  std::string
      model_directory;  // config.json, model.safetensors, tokenizer.json
  std::string device = "auto";
  std::string dtype = "auto";
  std::string derived_history = "auto";  // on, off: ChooseDerivedHistory
  int threads = 0;                       // 0: as many as the process may use
  // 0: on a GPU as many as its memory has room for, on the CPU 16; at most
  // most_slots.
  int32_t slots = 0;
  int32_t most_slots = 4096;
  // 0: 1,048,576 where the state is constant, 131,072 where a history grows.
  int64_t max_context_tokens = 0;
  // Of all sequences together, where a history grows. 0: 8,192 a slot, and
  // at least one of the longest. Pages that are never touched take no memory.
  int64_t history_tokens = 0;
  int32_t max_syncs = 4;
  // What weights, slots, history and workspace may come to on the CPU; 0: not
  // checked. Slots and history take memory only as they are used, so too little
  // would show late.
  int64_t free_memory_bytes = 0;
};

// Members are torn down in reverse: the model outlives what uses it.
struct LoadedModel {
  ModelConfig config;
  std::unique_ptr<Tokenizer> tokenizer;  // null: token ids only
  std::unique_ptr<ModelRunner> model;
  std::string why_cpu;  // where --device=auto found no GPU: what is missing
};

// Errors name the file or the flag: NOT_FOUND for a missing file,
// INVALID_ARGUMENT and DATA_LOSS for a bad one, RESOURCE_EXHAUSTED where the
// device has no room.
absl::StatusOr<LoadedModel> LoadModel(const LoadOptions& options);

}  // namespace tlin

#endif  // TLIN_ENGINE_LOAD_ENGINE_H_
