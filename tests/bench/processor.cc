#include "tests/bench/processor.h"

#include <algorithm>
#include <fstream>
#include <thread>

#include "absl/strings/match.h"

namespace tlin {

std::string ProcessorName() {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line)) {
    if (absl::StartsWith(line, "model name")) {
      return line.substr(line.find(':') + 2);
    }
  }
  return "unknown";
}

int BenchThreads() {
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace tlin
