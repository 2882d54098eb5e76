// The decode step as CUDA graphs: for each number of rows, rounded up, its
// kernels are recorded once and launched together from then on. They find what
// changes from step to step (tokens, positions, places of keys) in arrays at
// places that do not.
#ifndef TLIN_ENGINE_BACKEND_CUDA_DECODE_GRAPHS_H_
#define TLIN_ENGINE_BACKEND_CUDA_DECODE_GRAPHS_H_

#include <cuda_runtime_api.h>

#include <cstdint>
#include <map>

namespace tlin::cuda {

// Rows that a step of so many is run as: its three highest bits rounded up, so
// less than a quarter is idle and there are four graphs for each doubling; at
// most `most`.
int32_t DecodeBucket(int32_t rows, int32_t most);

// Engine thread.
class DecodeGraphs {
 public:
  DecodeGraphs() = default;
  ~DecodeGraphs();
  DecodeGraphs(const DecodeGraphs&) = delete;
  DecodeGraphs& operator=(const DecodeGraphs&) = delete;

  // A step of so many rows begins: its operations are recorded (kernels that
  // are enqueued to `stream` do not run) where they never were.
  cudaError_t Begin(int32_t bucket, cudaStream_t stream);
  bool active() const { return bucket_ > 0; }
  int32_t bucket() const { return bucket_; }  // 0: none is active
  bool recording() const { return recording_; }
  // The step's operations are complete: a recording ends. It is of no use where
  // one of them could not be enqueued (not `whole`).
  cudaError_t FinishRecording(cudaStream_t stream, bool whole);
  // Runs the step, and ends it. After an error there are no graphs any more:
  // steps are launched kernel by kernel.
  cudaError_t Launch(cudaStream_t stream);

  // A graph could be made so far.
  bool usable() const { return usable_; }

 private:
  std::map<int32_t, cudaGraphExec_t> graphs_;  // by bucket
  int32_t bucket_ = 0;
  bool recording_ = false;
  bool usable_ = true;
};

}  // namespace tlin::cuda

#endif  // TLIN_ENGINE_BACKEND_CUDA_DECODE_GRAPHS_H_
