#include "engine/backend/factory.h"

#include <hwy/targets.h>

#include <algorithm>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/backend/cpu/cpu_backend.h"
#include "engine/backend/cuda_plugin.h"
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

absl::StatusOr<std::unique_ptr<Backend>> MakeCpu(
    absl::string_view dtype, const BackendShape& shape,
    const BackendOptions& options) {
  TLIN_ASSIGN_OR_RETURN(const DType chosen,
                        ParseDType(dtype, AutoDType(hwy::SupportedTargets())));
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

absl::StatusOr<std::unique_ptr<Backend>> MakeCuda(int device,
                                                  absl::string_view dtype,
                                                  const BackendShape& shape) {
  TLIN_ASSIGN_OR_RETURN(const DType chosen, ParseDType(dtype, DType::kBF16));
  return MakeCudaBackend(device, chosen, shape);
}

}  // namespace

DType AutoDType(int64_t targets) {
  constexpr int64_t kWide = HWY_AVX3 | HWY_AVX3_DL | HWY_NEON;
  return (targets & kWide) != 0 ? DType::kBF16 : DType::kF32;
}

absl::StatusOr<MadeBackend> MakeBackend(absl::string_view device,
                                        absl::string_view dtype,
                                        const BackendShape& shape,
                                        const BackendOptions& options) {
  MadeBackend made;
  if (device == "cpu") {
    TLIN_ASSIGN_OR_RETURN(made.backend, MakeCpu(dtype, shape, options));
    return made;
  }
  absl::string_view number = device;
  int index = 0;
  if (device != "auto" && (!absl::ConsumePrefix(&number, "cuda:") ||
                           !absl::SimpleAtoi(number, &index) || index < 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--device=", device, ": want auto, cpu or cuda:N"));
  }
  absl::StatusOr<std::unique_ptr<Backend>> cuda = MakeCuda(index, dtype, shape);
  if (cuda.ok()) {
    made.backend = *std::move(cuda);
    return made;
  }
  if (device != "auto") {
    return absl::Status(
        cuda.status().code(),
        absl::StrCat("--device=", device, ": ", cuda.status().message()));
  }
  if (!absl::IsFailedPrecondition(cuda.status())) return cuda.status();
  made.why_cpu = std::string(cuda.status().message());
  TLIN_ASSIGN_OR_RETURN(made.backend, MakeCpu(dtype, shape, options));
  return made;
}

}  // namespace tlin
