// The library's one function.
#include "engine/backend/cuda/cuda_backend.h"
#include "engine/backend/cuda_plugin.h"

extern "C" __attribute__((visibility("default"))) void tlin_cuda_plugin(
    tlin::CudaPlugin* plugin) {
  *plugin = {TLIN_PLUGIN_VERSION, tlin::cuda::CudaBackend::FreeBytes,
             tlin::cuda::CudaBackend::WorkspaceBytes,
             tlin::cuda::CudaBackend::Create};
}
