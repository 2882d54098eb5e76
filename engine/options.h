// What an engine is told at its start.
#ifndef TLIN_ENGINE_OPTIONS_H_
#define TLIN_ENGINE_OPTIONS_H_

#include <cstdint>

namespace tlin {

struct EngineOptions {
  int32_t max_queued_requests = 256;
  // Units (MFLOP) of fills and sync slices in one step beside the decode rows.
  int64_t step_units = 4000;
  int64_t max_prompt_tokens = 0;  // 0: the model's max_context_tokens
};

}  // namespace tlin

#endif  // TLIN_ENGINE_OPTIONS_H_
