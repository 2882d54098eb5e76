#include "engine/model/safetensors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace tlin {
namespace {

using Json = nlohmann::json;

constexpr int64_t kLengthBytes = 8;
constexpr int64_t kMaxHeaderBytes = int64_t{64} << 20;
constexpr int64_t kMaxTensors = 1 << 17;
constexpr int64_t kMaxElements = int64_t{1} << 42;

struct Range {
  int64_t begin;
  int64_t end;
  const std::string* tensor;
};

// The library's parser recurses for each level of nesting: a header has three.
bool NestsTooDeep(absl::string_view json) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > 8) return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

absl::StatusOr<DType> ReadDType(const Json& entry) {
  const auto found = entry.find("dtype");
  if (found == entry.end() || !found->is_string()) {
    return absl::InvalidArgumentError("has no dtype");
  }
  if (*found == "F32") return DType::kF32;
  if (*found == "F16") return DType::kF16;
  if (*found == "BF16") return DType::kBF16;
  const auto& shown = found->get_ref<const std::string&>();
  return absl::InvalidArgumentError(absl::StrCat(
      "has dtype ", shown.substr(0, 16), ": want F32, F16 or BF16"));
}

// Non-negative integers of a JSON array.
absl::StatusOr<std::vector<int64_t>> ReadIntegers(const Json& entry,
                                                  const char* field,
                                                  size_t most) {
  const auto found = entry.find(field);
  if (found == entry.end() || !found->is_array() || found->size() > most) {
    return absl::InvalidArgumentError(absl::StrCat(
        "has no valid ", field, ": want an array of at most ", most));
  }
  std::vector<int64_t> integers;
  for (const Json& value : *found) {
    if (!value.is_number_unsigned() ||
        value.get<uint64_t>() > static_cast<uint64_t>(kMaxElements)) {
      // Only a number is shown: what else stands there may be long.
      return absl::InvalidArgumentError(absl::StrCat(
          "has ", value.is_number() ? value.dump() : value.type_name(),
          " in its ", field, ": want integers from 0 to ", kMaxElements));
    }
    integers.push_back(static_cast<int64_t>(value.get<uint64_t>()));
  }
  return integers;
}

absl::StatusOr<std::pair<HostTensor, Range>> ReadEntry(const Json& entry,
                                                       int64_t data_bytes) {
  if (!entry.is_object()) {
    return absl::InvalidArgumentError("is not a JSON object");
  }
  HostTensor tensor;
  TLIN_ASSIGN_OR_RETURN(tensor.dtype, ReadDType(entry));
  TLIN_ASSIGN_OR_RETURN(tensor.shape, ReadIntegers(entry, "shape", 8));
  TLIN_ASSIGN_OR_RETURN(const std::vector<int64_t> offsets,
                        ReadIntegers(entry, "data_offsets", 2));
  if (offsets.size() != 2 || offsets[0] > offsets[1]) {
    return absl::InvalidArgumentError("has no valid data_offsets");
  }
  int64_t elements = 1;
  for (const int64_t dimension : tensor.shape) {
    if (dimension != 0 && elements > kMaxElements / dimension) {
      return absl::InvalidArgumentError(
          absl::StrCat("has an absurdly large shape: want at most ",
                       kMaxElements, " elements"));
    }
    elements *= dimension;
  }
  const int64_t bytes = elements * DTypeBytes(tensor.dtype);
  if (offsets[1] - offsets[0] != bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("spans ", offsets[1] - offsets[0], " bytes at offset ",
                     offsets[0], ": its shape and dtype want ", bytes));
  }
  if (offsets[1] > data_bytes) {
    return absl::DataLossError(
        absl::StrCat("ends at offset ", offsets[1], " of the data, which has ",
                     data_bytes, " bytes: the file is truncated"));
  }
  return std::make_pair(std::move(tensor),
                        Range{offsets[0], offsets[1], nullptr});
}

absl::Status CheckNoOverlap(std::vector<Range> ranges, absl::string_view name) {
  std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
  });
  for (size_t i = 1; i < ranges.size(); ++i) {
    if (ranges[i].begin < ranges[i - 1].end) {
      return absl::InvalidArgumentError(absl::StrCat(
          name, ": tensor \"", *ranges[i].tensor, "\" at offset ",
          ranges[i].begin, " overlaps \"", *ranges[i - 1].tensor, "\""));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TensorMap> ParseSafetensors(absl::Span<const std::byte> file,
                                           absl::string_view name) {
  const auto size = static_cast<int64_t>(file.size());
  if (size < kLengthBytes) {
    return absl::DataLossError(
        absl::StrCat(name, ": has ", size,
                     " bytes: a safetensors file has at least ", kLengthBytes));
  }
  uint64_t header_bytes = 0;
  for (int i = 0; i < kLengthBytes; ++i) {
    header_bytes |= static_cast<uint64_t>(file[i]) << (8 * i);
  }
  if (header_bytes > static_cast<uint64_t>(kMaxHeaderBytes)) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": offset 0: header of ", header_bytes,
                     " bytes: at most ", kMaxHeaderBytes, " are read"));
  }
  const auto data_begin = kLengthBytes + static_cast<int64_t>(header_bytes);
  if (data_begin > size) {
    return absl::DataLossError(
        absl::StrCat(name, ": offset 0: header of ", header_bytes,
                     " bytes in a file of ", size, ": the file is truncated"));
  }
  const absl::string_view header(
      reinterpret_cast<const char*>(file.data()) + kLengthBytes, header_bytes);
  if (NestsTooDeep(header)) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": offset 8: the header nests too deep"));
  }
  // The library keeps the last of two equal names; the callback sees both.
  std::vector<std::string> names;
  const Json parsed = Json::parse(
      header.begin(), header.end(),
      [&names](int depth, Json::parse_event_t event, Json& value) {
        if (depth == 1 && event == Json::parse_event_t::key) {
          names.push_back(value.get<std::string>());
        }
        return true;
      },
      /*allow_exceptions=*/false);
  if (!parsed.is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": offset 8: the header is not a JSON object"));
  }
  if (static_cast<int64_t>(names.size()) > kMaxTensors) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": offset 8: names ", names.size(),
                     " tensors: at most ", kMaxTensors, " are read"));
  }
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": tensor \"", *twice, "\" is there twice"));
  }

  TensorMap tensors;
  std::vector<Range> ranges;
  for (const auto& [tensor_name, entry] : parsed.items()) {
    if (tensor_name == "__metadata__") continue;
    auto read = ReadEntry(entry, size - data_begin);
    if (!read.ok()) {
      return absl::Status(read.status().code(),
                          absl::StrCat(name, ": tensor \"", tensor_name, "\" ",
                                       read.status().message()));
    }
    auto& [tensor, range] = *read;
    tensor.data = file.data() + data_begin + range.begin;
    const auto place = tensors.emplace(tensor_name, std::move(tensor)).first;
    range.tensor = &place->first;
    if (range.begin < range.end) ranges.push_back(range);
  }
  TLIN_RETURN_IF_ERROR(CheckNoOverlap(std::move(ranges), name));
  return tensors;
}

absl::StatusOr<std::unique_ptr<SafetensorsFile>> SafetensorsFile::Open(
    const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    return absl::NotFoundError(
        absl::StrCat(path, ": cannot be read: ", std::strerror(errno)));
  }
  struct stat status = {};
  if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode) ||
      status.st_size == 0) {
    close(file);
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": is empty or no regular file"));
  }
  void* const mapping = mmap(nullptr, static_cast<size_t>(status.st_size),
                             PROT_READ, MAP_PRIVATE, file, 0);
  close(file);
  if (mapping == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        absl::StrCat(path, ": cannot be mapped: ", std::strerror(errno)));
  }
  std::unique_ptr<SafetensorsFile> opened(
      new SafetensorsFile(mapping, status.st_size));
  TLIN_ASSIGN_OR_RETURN(
      opened->tensors_,
      ParseSafetensors(
          absl::MakeConstSpan(static_cast<const std::byte*>(mapping),
                              static_cast<size_t>(status.st_size)),
          path));
  return opened;
}

void SafetensorsFile::Drop(const HostTensor& tensor) const {
  int64_t bytes = DTypeBytes(tensor.dtype);
  for (const int64_t dimension : tensor.shape) bytes *= dimension;
  // Pages at the ends are shared with other tensors.
  const auto page = static_cast<int64_t>(sysconf(_SC_PAGESIZE));
  const int64_t offset = static_cast<const std::byte*>(tensor.data) -
                         static_cast<const std::byte*>(mapping_);
  const int64_t begin = (offset + page - 1) / page * page;
  const int64_t end = (offset + bytes) / page * page;
  if (begin >= end) return;
  madvise(static_cast<std::byte*>(mapping_) + begin,
          static_cast<size_t>(end - begin), MADV_DONTNEED);
}

SafetensorsFile::~SafetensorsFile() {
  munmap(mapping_, static_cast<size_t>(size_));
}

}  // namespace tlin
