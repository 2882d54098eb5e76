// Sampling on the device: what engine/sampling/sampler.h says, to the same
// tokens.
#ifndef TLIN_ENGINE_BACKEND_CUDA_SAMPLING_OPS_H_
#define TLIN_ENGINE_BACKEND_CUDA_SAMPLING_OPS_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "engine/sampling/sampling.h"

namespace tlin::cuda {

// A SampleRow for the device. Its lists are in device memory, and what they
// change in the row of logits is kept in them meanwhile.
struct DeviceSample {
  Sampling sampling;
  int64_t position = 0;
  TokenCount* counts = nullptr;
  TokenCount* banned = nullptr;  // times: of no meaning
  int32_t count_size = 0;
  int32_t banned_size = 0;
  int32_t logprobs = 0;
  int32_t active = 0;  // 0: there is no such row
};

// tokens[i] from row i of logits, f32 [rows, vocab], and samples[i]. Logits of
// rows without logprobs may be changed. Pointers are device memory, but
// `tokens` is memory that the host can read when the stream is done.
cudaError_t LaunchSample(float* logits, int vocab, const DeviceSample* samples,
                         int rows, SampledToken* tokens, cudaStream_t stream);

}  // namespace tlin::cuda

#endif  // TLIN_ENGINE_BACKEND_CUDA_SAMPLING_OPS_H_
