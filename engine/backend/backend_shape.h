// What every backend asks of a shape, and derives from it.
#ifndef TLIN_ENGINE_BACKEND_BACKEND_SHAPE_H_
#define TLIN_ENGINE_BACKEND_BACKEND_SHAPE_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "engine/backend/backend.h"

namespace tlin {

// INVALID_ARGUMENT for what no model has, or a dtype that is none of a
// backend's own; `backend` is its name in the message, "CPU".
absl::Status CheckBackendShape(const BackendShape& shape, DType dtype,
                               absl::string_view backend);

// Of the pairs (2i, 2i + 1) of a head: 10000^(-2i / head_size), [head_size /
// 2]. In float32 throughout, as the published models were trained: at position
// 150,000 a frequency that is off by its last bit gives other logits.
std::vector<float> RopeFrequencies(int32_t head_size);

}  // namespace tlin

#endif  // TLIN_ENGINE_BACKEND_BACKEND_SHAPE_H_
