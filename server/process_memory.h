// What the operating system says of memory.
#ifndef TLIN_SERVER_PROCESS_MEMORY_H_
#define TLIN_SERVER_PROCESS_MEMORY_H_

#include <cstdint>
#include <string>

namespace tlin {

struct DeviceMemory {
  int64_t free = 0;   // bytes
  int64_t total = 0;  // bytes
};

// Bytes of this process in RAM; 0 where /proc does not say.
int64_t ResidentMemoryBytes();

// RAM that this process may use, which is the device's where the device is the
// CPU: the machine's, or less where a control group (a container) has a limit.
// Free is what could be had without swapping; caches of files count as free.
// `root` stands before /proc and /sys.
DeviceMemory HostMemory(const std::string& root = "");

}  // namespace tlin

#endif  // TLIN_SERVER_PROCESS_MEMORY_H_
