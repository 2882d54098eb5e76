#include "tests/testing/safetensors_writer.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"

namespace tlin {

std::string MakeSafetensors(const TensorMap& tensors, int header_padding) {
  nlohmann::json header;
  std::string data;
  for (const auto& [name, tensor] : tensors) {
    int64_t bytes = DTypeBytes(tensor.dtype);
    for (const int64_t dimension : tensor.shape) bytes *= dimension;
    const size_t begin = data.size();
    data.append(static_cast<const char*>(tensor.data),
                static_cast<size_t>(bytes));
    const char* dtype = tensor.dtype == DType::kF32    ? "F32"
                        : tensor.dtype == DType::kBF16 ? "BF16"
                                                       : "F16";
    header[name] = {{"dtype", dtype},
                    {"shape", tensor.shape},
                    {"data_offsets", {begin, data.size()}}};
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8 + static_cast<size_t>(header_padding),
              ' ');
  std::string file;
  for (int shift = 0; shift < 64; shift += 8) {
    file.push_back(static_cast<char>(text.size() >> shift));
  }
  return file + text + data;
}

std::string WriteTestFile(const std::string& name, const std::string& bytes) {
  const std::string path = std::filesystem::temp_directory_path() /
                           absl::StrCat("tlin-", getpid(), "-", name);
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  TLIN_CHECK(file.good());
  return path;
}

}  // namespace tlin
