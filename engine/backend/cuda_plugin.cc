#include "engine/backend/cuda_plugin.h"

#include <dlfcn.h>
#include <unistd.h>

#include <climits>
#include <string>

#include "absl/strings/str_cat.h"

namespace tlin {
namespace {

constexpr char kDriver[] = "libcuda.so.1";
constexpr char kLibrary[] = "libtlin_cuda.so";

// Beside the program, where it is there.
std::string LibraryPath() {
  char program[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", program, sizeof(program));
  if (length <= 0) return kLibrary;
  const std::string path(program, static_cast<size_t>(length));
  const std::string beside =
      absl::StrCat(path.substr(0, path.rfind('/') + 1), kLibrary);
  return access(beside.c_str(), F_OK) == 0 ? beside : kLibrary;
}

}  // namespace

absl::StatusOr<CudaPlugin> LoadCudaPlugin() {
  // First, and by itself: what the library needs takes 150 MB of memory.
  if (dlopen(kDriver, RTLD_NOW | RTLD_LOCAL) == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("there is no NVIDIA driver: ", dlerror()));
  }
  // Its weights and buffers may live as long as the process: never closed.
  void* const library = dlopen(LibraryPath().c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("the CUDA backend cannot be loaded: ", dlerror()));
  }
  auto* const fill =
      reinterpret_cast<CudaPluginFunction*>(dlsym(library, kCudaPluginSymbol));
  if (fill == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat(kLibrary, " is not tlin's: ", dlerror()));
  }
  CudaPlugin plugin;
  fill(&plugin);
  if (std::string(plugin.version) != TLIN_PLUGIN_VERSION) {
    return absl::FailedPreconditionError(
        absl::StrCat(kLibrary, " is of tlin ", plugin.version, ", this is ",
                     TLIN_PLUGIN_VERSION));
  }
  return plugin;
}

}  // namespace tlin
