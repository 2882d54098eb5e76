// What the CUDA runtime and cuBLAS say, as a Status.
#ifndef TLIN_ENGINE_BACKEND_CUDA_CUDA_STATUS_H_
#define TLIN_ENGINE_BACKEND_CUDA_CUDA_STATUS_H_

#include <cuda_runtime_api.h>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace tlin::cuda {

// RESOURCE_EXHAUSTED without memory, FAILED_PRECONDITION without a device or a
// driver for it, INTERNAL for all else. The message begins with `what`.
absl::Status CudaStatus(cudaError_t error, absl::string_view what);

}  // namespace tlin::cuda

#endif  // TLIN_ENGINE_BACKEND_CUDA_CUDA_STATUS_H_
