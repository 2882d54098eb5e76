// What kernels touch of device memory. For binaries whose kernels are compiled
// with -fsanitize=thread: the compiler then tells of every access, and
// traffic.cc, in the sanitizer's place, counts. (Such a binary has no other
// sanitizer.)
#ifndef TLIN_TESTS_CUDA_EMULATION_TRAFFIC_H_
#define TLIN_TESTS_CUDA_EMULATION_TRAFFIC_H_

#include <cstdint>

namespace cuda_emulation {

// Of all kernels since the last call of StartTraffic. A byte that a kernel
// reads again, or writes again, counts once: it is in a cache meanwhile.
struct Traffic {
  int64_t read_bytes = 0;     // by kernels
  int64_t written_bytes = 0;  // by kernels
  int64_t product_bytes = 0;  // cuBLASLt's: inputs and outputs, each once
  int64_t copied_bytes = 0;   // within the device: read and written
  double product_flops = 0;

  int64_t total() const {
    return read_bytes + written_bytes + product_bytes + copied_bytes;
  }
};
void StartTraffic();
Traffic TrafficSinceStart();

}  // namespace cuda_emulation

#endif  // TLIN_TESTS_CUDA_EMULATION_TRAFFIC_H_
