// A stream and what its operations use. The work of two lanes runs side by
// side: what decodes in one, syncs in the other.
#ifndef TLIN_ENGINE_BACKEND_CUDA_LANE_H_
#define TLIN_ENGINE_BACKEND_CUDA_LANE_H_

#include <cstdint>

#include "engine/backend/cuda/arguments.h"
#include "engine/backend/cuda/memory.h"
#include "engine/backend/cuda/stream.h"

namespace tlin::cuda {

struct Lane {
  Stream stream;
  Arguments arguments;     // of operations that are launched as they come
  DeviceMemory prepared;   // inputs of products: dtype [rows, max(D, F)]
  DeviceMemory wide;       // f32 [rows, max(3D, 2F)]
  DeviceMemory workspace;  // cuBLASLt's

  int64_t bytes() const {
    return arguments.bytes() + prepared.size() + wide.size() + workspace.size();
  }
};

}  // namespace tlin::cuda

#endif  // TLIN_ENGINE_BACKEND_CUDA_LANE_H_
