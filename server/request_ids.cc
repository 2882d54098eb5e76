#include "server/request_ids.h"

#include <random>

#include "absl/strings/str_cat.h"

namespace tlin {

RequestIds::RequestIds() {
  absl::MutexLock lock(&mutex_);
  prefix_ = absl::StrCat(
      absl::Hex(absl::Uniform<uint32_t>(random_), absl::kZeroPad8), "-");
}

std::string RequestIds::NextId() {
  absl::MutexLock lock(&mutex_);
  return absl::StrCat(prefix_, ++count_);
}

std::string RequestIds::NextSession() {
  std::random_device random;  // the system's
  std::string name = "session-";
  for (int i = 0; i < 4; ++i) {
    absl::StrAppend(&name, absl::Hex(random(), absl::kZeroPad8));
  }
  return name;
}

uint64_t RequestIds::NextSeed() {
  absl::MutexLock lock(&mutex_);
  return absl::Uniform<uint64_t>(random_);
}

}  // namespace tlin
