// The one place that knows which backends there are.
#ifndef TLIN_ENGINE_BACKEND_FACTORY_H_
#define TLIN_ENGINE_BACKEND_FACTORY_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/backend/backend.h"
#include "engine/backend/cuda_plugin.h"

namespace tlin {

// What `--dtype=auto` means on a processor with these of Highway's targets:
// bf16 where AVX-512 or arm64's NEON widen it in the shadow of the loads, f32
// elsewhere. Pure.
DType AutoDType(int64_t targets);

struct BackendOptions {
  int threads = 0;  // CPU workers; 0: as many as the process may use
};

// A device that is there, and how it computes.
class Device {
 public:
  DType dtype() const { return dtype_; }
  bool is_gpu() const { return gpu_ >= 0; }
  // Of the device's own memory, what is free; 0: it has none of its own.
  int64_t free_bytes() const { return free_bytes_; }
  // Where `auto` found no GPU: what is missing.
  const std::string& why_cpu() const { return why_cpu_; }

  // What a backend's own scratch will take of the device's own memory.
  int64_t WorkspaceBytes(const BackendShape& shape) const;
  absl::StatusOr<std::unique_ptr<Backend>> Make(
      const BackendShape& shape) const;

 private:
  friend absl::StatusOr<Device> ChooseDevice(absl::string_view device,
                                             absl::string_view dtype,
                                             const BackendOptions& options);

  DType dtype_ = DType::kF32;
  int gpu_ = -1;
  int threads_ = 1;
  int64_t free_bytes_ = 0;
  CudaPlugin plugin_;
  std::string why_cpu_;
};

// `device`: auto (the first GPU, or else the CPU), cpu or cuda:N; `dtype`:
// auto, f32 or bf16. On the CPU `auto` takes bf16 where the processor has the
// instructions for it. INVALID_ARGUMENT for other words, FAILED_PRECONDITION
// for a device that is not there; both name the flag.
absl::StatusOr<Device> ChooseDevice(absl::string_view device,
                                    absl::string_view dtype,
                                    const BackendOptions& options);

}  // namespace tlin

#endif  // TLIN_ENGINE_BACKEND_FACTORY_H_
