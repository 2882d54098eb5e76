// The emulated <<<>>>.
#ifndef TLIN_TESTS_CUDA_EMULATION_LAUNCH_H_
#define TLIN_TESTS_CUDA_EMULATION_LAUNCH_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <functional>

namespace cuda_emulation {

// Enqueues a kernel whose threads run `body`; `kernel` names it for
// cudaFuncSetAttribute. The result is also cudaGetLastError's.
cudaError_t LaunchKernel(const void* kernel, dim3 grid, dim3 block,
                         size_t shared_bytes, cudaStream_t stream,
                         std::function<void()> body);

}  // namespace cuda_emulation

#endif  // TLIN_TESTS_CUDA_EMULATION_LAUNCH_H_
