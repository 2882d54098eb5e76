#include "server/process_memory.h"

#include <unistd.h>

#include <fstream>
#include <string>

namespace tlin {

int64_t ResidentMemoryBytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t size_pages = 0;
  int64_t resident_pages = 0;
  if (!(statm >> size_pages >> resident_pages)) return 0;
  return resident_pages * sysconf(_SC_PAGESIZE);
}

DeviceMemory HostMemory() {
  std::ifstream meminfo("/proc/meminfo");
  DeviceMemory memory;
  std::string name;
  int64_t kibibytes = 0;
  std::string rest;
  while (meminfo >> name >> kibibytes && std::getline(meminfo, rest)) {
    if (name == "MemTotal:") memory.total = kibibytes * 1024;
    if (name == "MemAvailable:") memory.free = kibibytes * 1024;
  }
  return memory;
}

}  // namespace tlin
