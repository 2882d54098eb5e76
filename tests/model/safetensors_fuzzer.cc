// Any bytes as a weight file: a Status, or tensors that lie within the file.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "engine/base/check.h"
#include "engine/model/safetensors.h"

namespace {

// The parser's answer for `file`; what it accepts must lie within it.
void Parse(const std::string& file) {
  const auto bytes = absl::MakeConstSpan(
      reinterpret_cast<const std::byte*>(file.data()), file.size());
  const auto tensors = tlin::ParseSafetensors(bytes, "fuzzed");
  if (!tensors.ok()) return;
  for (const auto& [name, tensor] : *tensors) {
    int64_t size = tlin::DTypeBytes(tensor.dtype);
    for (const int64_t dimension : tensor.shape) size *= dimension;
    const auto* const begin = static_cast<const std::byte*>(tensor.data);
    TLIN_CHECK(size >= 0 && begin >= bytes.data() &&
               begin + size <= bytes.data() + bytes.size());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string file(reinterpret_cast<const char*>(data), size);
  Parse(file);
  // As a header of the right length, with data behind it: fuzzers seldom guess
  // lengths.
  std::string framed(8, '\0');
  const uint64_t length = size;
  std::memcpy(framed.data(), &length, sizeof(length));
  Parse(framed + file + std::string(64, '\1'));
  return 0;
}
