// What a test says to the emulated device, and reads off it.
#ifndef TLIN_TESTS_CUDA_EMULATION_CONTROL_H_
#define TLIN_TESTS_CUDA_EMULATION_CONTROL_H_

#include <cuda_runtime_api.h>

#include <cstdint>

namespace cuda_emulation {

// In which order a block's warps run, and the lanes of a warp. A kernel must
// give the same bits in each.
struct Schedule {
  enum class Order { kAscending, kDescending, kRandom };
  Order order = Order::kAscending;
  uint64_t seed = 1;
};
void SetSchedule(const Schedule& schedule);
const Schedule& device_schedule();

// Of the device, from now on. REQUIRES: nothing is allocated.
void SetDeviceMemory(size_t bytes);
// How many GPUs there are; with none, or with `error`, cudaGetDeviceCount says
// so and leaves its output as it is.
void SetDeviceCount(int count, cudaError_t error = cudaErrorNoDevice);

// The host can touch device memory again only after the device's every `nth`
// turn: closing it takes time. 1: it never can; that is how it begins.
void SetProtection(int nth);

// --- Faults. The `nth` next one, from 1, fails; 0: none does.
void FailAllocation(int nth);        // cudaErrorMemoryAllocation
void FailPinnedAllocation(int nth);  // the same, of the host's
void FailLaunch(int nth);            // at the launch itself
// While it runs: the device is lost, and every later call says so.
void FailExecution(int nth);
void ResetDevice();  // no error sticks, no fault is planned

// --- Counts, since the process began.
struct Counts {
  int64_t launches = 0;         // of kernels, those of graphs included
  int64_t graph_launches = 0;   // of whole graphs
  int64_t captures = 0;         // that were instantiated
  int64_t allocations = 0;      // of device memory
  int64_t allocated_bytes = 0;  // that they asked for
  int64_t synchronizations = 0;
  // Of work that was done.
  int64_t product_bytes = 0;  // cuBLASLt's inputs and outputs, each once
  double product_flops = 0;
  int64_t copied_bytes = 0;  // within device memory: read and written
};
Counts DeviceCounts();

}  // namespace cuda_emulation

#endif  // TLIN_TESTS_CUDA_EMULATION_CONTROL_H_
