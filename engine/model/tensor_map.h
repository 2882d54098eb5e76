// Named tensors in host memory, wherever they came from.
#ifndef TLIN_ENGINE_MODEL_TENSOR_MAP_H_
#define TLIN_ENGINE_MODEL_TENSOR_MAP_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/backend/dtype.h"

namespace tlin {

// Row-major. Borrows its data.
struct HostTensor {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  const void* data = nullptr;
};

using TensorMap = std::map<std::string, HostTensor>;

}  // namespace tlin

#endif  // TLIN_ENGINE_MODEL_TENSOR_MAP_H_
