#include "engine/backend/factory.h"

#include <hwy/targets.h>

#include <algorithm>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/backend/cpu/cpu_backend.h"
#include "engine/base/status_macros.h"

namespace tlin {
namespace {

absl::StatusOr<DType> ParseDType(absl::string_view dtype, DType otherwise) {
  if (dtype == "auto") return otherwise;
  if (dtype == "f32") return DType::kF32;
  if (dtype == "bf16") return DType::kBF16;
  return absl::InvalidArgumentError(
      absl::StrCat("--dtype=", dtype, ": want auto, f32 or bf16"));
}

// A GPU that can be used, and its plug-in.
struct FoundGpu {
  CudaPlugin plugin;
  int64_t free_bytes = 0;
};

absl::StatusOr<FoundGpu> FindGpu(int index) {
  FoundGpu found;
  TLIN_ASSIGN_OR_RETURN(found.plugin, LoadCudaPlugin());
  TLIN_ASSIGN_OR_RETURN(found.free_bytes, found.plugin.free_bytes(index));
  return found;
}

}  // namespace

DType AutoDType(int64_t targets) {
  constexpr int64_t kWide = HWY_AVX3 | HWY_AVX3_DL | HWY_NEON;
  return (targets & kWide) != 0 ? DType::kBF16 : DType::kF32;
}

absl::StatusOr<Device> ChooseDevice(absl::string_view device,
                                    absl::string_view dtype,
                                    const BackendOptions& options) {
  if (options.threads < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--threads=", options.threads, ": is negative"));
  }
  Device chosen;
  chosen.threads_ =
      options.threads > 0
          ? options.threads
          : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  if (device != "cpu") {
    absl::string_view number = device;
    int index = 0;
    if (device != "auto" && (!absl::ConsumePrefix(&number, "cuda:") ||
                             !absl::SimpleAtoi(number, &index) || index < 0)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--device=", device, ": want auto, cpu or cuda:N"));
    }
    absl::StatusOr<FoundGpu> found = FindGpu(index);
    if (found.ok()) {
      chosen.gpu_ = index;
      chosen.free_bytes_ = found->free_bytes;
      chosen.plugin_ = found->plugin;
    } else if (device != "auto") {
      return absl::Status(
          found.status().code(),
          absl::StrCat("--device=", device, ": ", found.status().message()));
    } else if (!absl::IsFailedPrecondition(found.status())) {
      return found.status();
    } else {
      chosen.why_cpu_ = std::string(found.status().message());
    }
  }
  const DType otherwise =
      chosen.is_gpu() ? DType::kBF16 : AutoDType(hwy::SupportedTargets());
  TLIN_ASSIGN_OR_RETURN(chosen.dtype_, ParseDType(dtype, otherwise));
  return chosen;
}

int64_t Device::WorkspaceBytes(const BackendShape& shape) const {
  return is_gpu() ? plugin_.workspace_bytes(dtype_, shape) : 0;
}

absl::StatusOr<std::unique_ptr<Backend>> Device::Make(
    const BackendShape& shape) const {
  if (is_gpu()) return plugin_.make(gpu_, dtype_, shape);
  return CpuBackend::Create(shape, dtype_, threads_);
}

}  // namespace tlin
