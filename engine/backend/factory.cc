#include "engine/backend/factory.h"

#include <hwy/targets.h>

#include <algorithm>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/backend/cpu/cpu_backend.h"
#include "engine/base/status_macros.h"

namespace tlin {
namespace {

absl::StatusOr<DType> ParseDType(absl::string_view dtype) {
  if (dtype == "auto") return AutoDType(hwy::SupportedTargets());
  if (dtype == "f32") return DType::kF32;
  if (dtype == "bf16") return DType::kBF16;
  return absl::InvalidArgumentError(
      absl::StrCat("--dtype=", dtype, ": want auto, f32 or bf16"));
}

}  // namespace

DType AutoDType(int64_t targets) {
  constexpr int64_t kWide = HWY_AVX3 | HWY_AVX3_DL | HWY_NEON;
  return (targets & kWide) != 0 ? DType::kBF16 : DType::kF32;
}

absl::StatusOr<std::unique_ptr<Backend>> MakeBackend(
    absl::string_view device, absl::string_view dtype,
    const BackendShape& shape, const BackendOptions& options) {
  TLIN_ASSIGN_OR_RETURN(const DType chosen, ParseDType(dtype));
  if (absl::StartsWith(device, "cuda:")) {
    return absl::FailedPreconditionError(
        absl::StrCat("--device=", device, ": this build has no CUDA backend"));
  }
  if (device != "auto" && device != "cpu") {
    return absl::InvalidArgumentError(
        absl::StrCat("--device=", device, ": want auto, cpu or cuda:N"));
  }
  if (options.threads < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--threads=", options.threads, ": is negative"));
  }
  const int threads =
      options.threads > 0
          ? options.threads
          : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  return CpuBackend::Create(shape, chosen, threads);
}

}  // namespace tlin
