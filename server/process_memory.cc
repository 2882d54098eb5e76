#include "server/process_memory.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"

namespace tlin {
namespace {

// The file's only number; -1 where there is none ("max", or no such file).
int64_t ReadNumber(const std::string& path) {
  std::ifstream file(path);
  int64_t number = 0;
  return file >> number ? number : -1;
}

// The value of a line "NAME VALUE", or of "NAME VALUE kB" in that unit; 0 where
// there is none.
int64_t ReadField(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  std::string word;
  int64_t value = 0;
  std::string rest;
  while (file >> word >> value && std::getline(file, rest)) {
    if (word == name) return value;
  }
  return 0;
}

// Names of the files of one version of control groups.
struct GroupFiles {
  const char* mount;
  const char* limit;
  const char* usage;
  const char* reclaimable;  // field of memory.stat
};
constexpr GroupFiles kVersion1 = {
    "/sys/fs/cgroup/memory", "/memory.limit_in_bytes", "/memory.usage_in_bytes",
    "total_inactive_file"};
constexpr GroupFiles kVersion2 = {"/sys/fs/cgroup", "/memory.max",
                                  "/memory.current", "inactive_file"};

// Narrows `memory` by the limits of the group and of all groups above it. The
// group's own folder may be out of sight in a container; the mount's top then
// is the container's.
void ApplyLimits(const std::string& root, const GroupFiles& files,
                 std::string group, DeviceMemory* memory) {
  while (true) {
    const std::string folder = root + files.mount + group;
    const int64_t limit = ReadNumber(folder + files.limit);
    const int64_t usage = ReadNumber(folder + files.usage);
    if (limit >= 0 && usage >= 0) {
      const int64_t used =
          usage - ReadField(folder + "/memory.stat", files.reclaimable);
      memory->total = std::min(memory->total, limit);
      memory->free = std::min(memory->free, std::max<int64_t>(limit - used, 0));
    }
    if (group.empty()) return;
    group.resize(group.rfind('/'));
  }
}

}  // namespace

int64_t ResidentMemoryBytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t size_pages = 0;
  int64_t resident_pages = 0;
  if (!(statm >> size_pages >> resident_pages)) return 0;
  return resident_pages * sysconf(_SC_PAGESIZE);
}

DeviceMemory HostMemory(const std::string& root) {
  DeviceMemory memory;
  memory.total = ReadField(root + "/proc/meminfo", "MemTotal:") * 1024;
  memory.free = ReadField(root + "/proc/meminfo", "MemAvailable:") * 1024;
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    // hierarchy:controllers:group
    const std::vector<std::string> parts =
        absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3 || !absl::StartsWith(parts[2], "/")) continue;
    const std::string group = parts[2] == "/" ? "" : parts[2];
    const std::vector<std::string> controllers = absl::StrSplit(parts[1], ',');
    if (parts[0] == "0") {
      ApplyLimits(root, kVersion2, group, &memory);
    } else if (std::count(controllers.begin(), controllers.end(), "memory")) {
      ApplyLimits(root, kVersion1, group, &memory);
    }
  }
  return memory;
}

}  // namespace tlin
