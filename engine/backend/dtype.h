// Number formats of weights and caches.
#ifndef TLIN_ENGINE_BACKEND_DTYPE_H_
#define TLIN_ENGINE_BACKEND_DTYPE_H_

#include <cstdint>

namespace tlin {

enum class DType : uint8_t { kF32, kBF16, kF16 };

constexpr int64_t DTypeBytes(DType dtype) {
  return dtype == DType::kF32 ? 4 : 2;
}

constexpr const char* DTypeName(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "f32";
    case DType::kBF16:
      return "bf16";
    case DType::kF16:
      return "f16";
  }
  return "unknown";
}

}  // namespace tlin

#endif  // TLIN_ENGINE_BACKEND_DTYPE_H_
