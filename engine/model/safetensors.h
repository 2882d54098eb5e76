// The weight file: model.safetensors, mapped into memory.
#ifndef TLIN_ENGINE_MODEL_SAFETENSORS_H_
#define TLIN_ENGINE_MODEL_SAFETENSORS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/model/tensor_map.h"

namespace tlin {

// The tensors of a whole safetensors file in memory; they point into `file`.
// Errors name `name`, the tensor, the offset and what was expected:
// INVALID_ARGUMENT for what is malformed, DATA_LOSS for a truncated file.
// Data types other than F32, F16, BF16 are refused.
absl::StatusOr<TensorMap> ParseSafetensors(absl::Span<const std::byte> file,
                                           absl::string_view name);

// A mapped file. Its pages are read when they are first touched and go with the
// object.
class SafetensorsFile {
 public:
  // NOT_FOUND where there is no such file; otherwise as ParseSafetensors.
  static absl::StatusOr<std::unique_ptr<SafetensorsFile>> Open(
      const std::string& path);
  ~SafetensorsFile();
  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;

  const TensorMap& tensors() const { return tensors_; }

  // Gives back the memory of a tensor's pages. It can still be read, from the
  // file again. REQUIRES: `tensor` is one of tensors().
  void Drop(const HostTensor& tensor) const;

 private:
  SafetensorsFile(void* mapping, int64_t size)
      : mapping_(mapping), size_(size) {}

  void* const mapping_;
  const int64_t size_;  // bytes
  TensorMap tensors_;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_MODEL_SAFETENSORS_H_
