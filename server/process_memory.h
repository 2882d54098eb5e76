// What the operating system says of memory.
#ifndef TLIN_SERVER_PROCESS_MEMORY_H_
#define TLIN_SERVER_PROCESS_MEMORY_H_

#include <cstdint>

namespace tlin {

struct DeviceMemory {
  int64_t free = 0;   // bytes
  int64_t total = 0;  // bytes
};

// Bytes of this process in RAM; 0 where /proc does not say.
int64_t ResidentMemoryBytes();

// The machine's RAM, which is the device's where the device is the CPU. Free is
// what could be had without swapping.
DeviceMemory HostMemory();

}  // namespace tlin

#endif  // TLIN_SERVER_PROCESS_MEMORY_H_
