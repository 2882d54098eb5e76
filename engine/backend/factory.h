// The one place that knows which backends there are.
#ifndef TLIN_ENGINE_BACKEND_FACTORY_H_
#define TLIN_ENGINE_BACKEND_FACTORY_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/backend/backend.h"

namespace tlin {

// What `--dtype=auto` means on a processor with these of Highway's targets:
// bf16 where AVX-512 or arm64's NEON widen it in the shadow of the loads, f32
// elsewhere. Pure.
DType AutoDType(int64_t targets);

struct BackendOptions {
  int threads = 0;  // CPU workers; 0: as many as the process may use
};

struct MadeBackend {
  std::unique_ptr<Backend> backend;
  std::string why_cpu;  // where `auto` found no GPU: what is missing
};

// `device`: auto (the first GPU, or else the CPU), cpu or cuda:N; `dtype`:
// auto, f32 or bf16. On the CPU `auto` takes bf16 where the processor has the
// instructions for it. INVALID_ARGUMENT for other words, FAILED_PRECONDITION
// for a device that is not there; both name the flag.
absl::StatusOr<MadeBackend> MakeBackend(absl::string_view device,
                                        absl::string_view dtype,
                                        const BackendShape& shape,
                                        const BackendOptions& options);

}  // namespace tlin

#endif  // TLIN_ENGINE_BACKEND_FACTORY_H_
