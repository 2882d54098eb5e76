// What a step, a sync and a prompt move through a device's memory, and how long
// that takes at best: closed forms of the shape, kernel by kernel as the CUDA
// backend runs them. Every kernel reads and writes each byte that it touches
// once: what it reads again comes from a cache, what the next kernel reads does
// not. Tests hold them against what the kernels touch. Pure functions.
#ifndef TLIN_ENGINE_MODEL_TRAFFIC_MODEL_H_
#define TLIN_ENGINE_MODEL_TRAFFIC_MODEL_H_

#include <cstdint>

#include "engine/backend/dtype.h"
#include "engine/model/config.h"

namespace tlin {

struct Traffic {
  double bytes = 0;
  double flops = 0;  // a multiply and an add are 2

  // What a machine takes that moves and computes so much a second, both at
  // once.
  double Seconds(double bytes_per_second, double flops_per_second) const;
  Traffic& operator+=(const Traffic& more);
  friend Traffic operator+(Traffic a, const Traffic& b) { return a += b; }
  friend Traffic operator*(double times, const Traffic& traffic) {
    return {times * traffic.bytes, times * traffic.flops};
  }
};

// A decode step of `batch` sequences of `context_tokens` each, sampling
// included.
Traffic DecodeTraffic(const ModelConfig& config, DType dtype, int64_t batch,
                      int64_t context_tokens);

// A sync of `history_tokens`, nothing of which is kept from an earlier one; 0
// for a transformer.
Traffic SyncTraffic(const ModelConfig& config, DType dtype,
                    int64_t history_tokens);

// A prompt to its first token: the sync of all whole windows before its last
// one, and the rest in parts of 256 rows.
Traffic PromptTraffic(const ModelConfig& config, DType dtype,
                      int64_t prompt_tokens);

}  // namespace tlin

#endif  // TLIN_ENGINE_MODEL_TRAFFIC_MODEL_H_
