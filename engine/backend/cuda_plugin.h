// The CUDA backend is a library of its own, libtlin_cuda.so, which is opened
// when it is wanted: tlind starts on machines that have nothing of CUDA.
#ifndef TLIN_ENGINE_BACKEND_CUDA_PLUGIN_H_
#define TLIN_ENGINE_BACKEND_CUDA_PLUGIN_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "engine/backend/backend.h"

namespace tlin {

// What the library's function kCudaPluginSymbol fills in.
struct CudaPlugin {
  const char* version = nullptr;  // of tlin; both must be built together
  // FAILED_PRECONDITION where the GPU is not there or cannot be used.
  absl::StatusOr<int64_t> (*free_bytes)(int device) = nullptr;
  int64_t (*workspace_bytes)(DType dtype, const BackendShape& shape) = nullptr;
  absl::StatusOr<std::unique_ptr<Backend>> (*make)(
      int device, DType dtype, const BackendShape& shape) = nullptr;
};
inline constexpr char kCudaPluginSymbol[] = "tlin_cuda_plugin";
using CudaPluginFunction = void(CudaPlugin* plugin);

// The library that lies beside this process's program, or where the system
// looks for libraries. It stays open. FAILED_PRECONDITION says what is missing:
// the library, what it needs or the driver.
absl::StatusOr<CudaPlugin> LoadCudaPlugin();

}  // namespace tlin

#endif  // TLIN_ENGINE_BACKEND_CUDA_PLUGIN_H_
