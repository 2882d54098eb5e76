#include "engine/backend/cuda/decode_graphs.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace tlin::cuda {

int32_t DecodeBucket(int32_t rows, int32_t most) {
  const int width = std::bit_width(static_cast<uint32_t>(rows));
  const int32_t step = width <= 3 ? 1 : 1 << (width - 3);
  return std::min((rows + step - 1) / step * step, most);
}

DecodeGraphs::~DecodeGraphs() {
  for (const auto& [bucket, graph] : graphs_) cudaGraphExecDestroy(graph);
}

cudaError_t DecodeGraphs::Begin(int32_t bucket, cudaStream_t stream) {
  bucket_ = bucket;
  recording_ = !graphs_.contains(bucket);
  if (!recording_) return cudaSuccess;
  return cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
}

cudaError_t DecodeGraphs::FinishRecording(cudaStream_t stream, bool whole) {
  if (!std::exchange(recording_, false)) return cudaSuccess;
  cudaGraph_t graph = nullptr;
  cudaError_t error = cudaStreamEndCapture(stream, &graph);
  if (error != cudaSuccess) return error;
  cudaGraphExec_t executable = nullptr;
  if (whole) error = cudaGraphInstantiate(&executable, graph, 0);
  if (executable != nullptr) graphs_.emplace(bucket_, executable);
  cudaGraphDestroy(graph);
  return error;
}

cudaError_t DecodeGraphs::Launch(cudaStream_t stream) {
  const auto graph = graphs_.find(std::exchange(bucket_, 0));
  const cudaError_t error = graph == graphs_.end()
                                ? cudaErrorStreamCaptureInvalidated
                                : cudaGraphLaunch(graph->second, stream);
  usable_ = error == cudaSuccess;
  return error;
}

}  // namespace tlin::cuda
