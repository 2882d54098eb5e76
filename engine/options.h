// What an engine is told at its start.
#ifndef TLIN_ENGINE_OPTIONS_H_
#define TLIN_ENGINE_OPTIONS_H_

#include <cstdint>

#include "absl/time/time.h"
#include "engine/step_costs.h"

namespace tlin {

struct SessionOptions {
  int32_t max_sessions = 4096;  // wherever their state is
  // Of saved states in host memory. The least recently used ones are let go
  // beyond it; what is in use may come on top.
  int64_t state_memory_bytes = int64_t{1} << 30;
  // An idle session that was not used for so long is deleted.
  absl::Duration idle_time_to_live = absl::InfiniteDuration();
};

struct EngineOptions {
  int32_t max_queued_requests = 256;
  // How long a step is to be: prompts and syncs take what decoding leaves of
  // it.
  absl::Duration target_step = absl::Milliseconds(20);
  StepPrices first_guess;         // until steps have been measured
  int64_t max_prompt_tokens = 0;  // 0: the model's max_context_tokens
  // Of states that requests with equal prefixes share, in host memory; 0: none
  // is shared.
  int64_t prefix_cache_bytes = 0;
  SessionOptions sessions;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_OPTIONS_H_
