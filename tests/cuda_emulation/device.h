// The emulated GPU behind the runtime API: errors, faults, counts, and its
// memory. One host thread at a time.
#ifndef TLIN_TESTS_CUDA_EMULATION_DEVICE_H_
#define TLIN_TESTS_CUDA_EMULATION_DEVICE_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <map>

#include "tests/cuda_emulation/control.h"

namespace cuda_emulation {

// Device memory: one mapping that the host cannot touch but while the device
// works. Allocations begin at multiples of 256 bytes with a gap between them
// that nobody may touch, filled with 0xff (NaN): what reads memory that nobody
// wrote shows.
class DeviceMemory {
 public:
  explicit DeviceMemory(size_t bytes);
  ~DeviceMemory();

  void* Allocate(size_t bytes);  // null: there is no room
  // False: nothing begins there.
  bool Free(void* memory);
  // All of [memory, memory + bytes) lies in one allocation.
  bool Owns(const void* memory, size_t bytes) const;

  const char* begin() const { return begin_; }
  size_t total() const { return total_; }
  size_t free() const { return total_ - used_; }

  int protect_every = 1;  // SetProtection

  // While one lives, memory can be touched.
  class Access {
   public:
    explicit Access(DeviceMemory* memory);
    ~Access();
    Access(const Access&) = delete;
    Access& operator=(const Access&) = delete;

   private:
    DeviceMemory* const memory_;
  };

 private:
  void Protect(bool closed);

  const size_t total_;
  char* const begin_;
  char* const first_;  // of allocations, behind a gap
  size_t used_ = 0;
  int accesses_ = 0;
  int turns_ = 0;  // since it was closed
  bool closed_ = true;
  std::map<char*, size_t> allocations_;  // begin -> bytes
};

class Device {
 public:
  DeviceMemory& memory();
  void SetMemory(size_t bytes);

  // Remembers an error for cudaGetLastError, and returns it.
  cudaError_t Say(cudaError_t error);
  cudaError_t TakeLastError();
  // What every call says once the device is lost; cudaSuccess before.
  cudaError_t lost() const { return lost_; }
  void Lose() { lost_ = cudaErrorIllegalAddress; }

  // Of the planned faults; true: this one is it.
  static bool Strikes(int* countdown) {
    return *countdown > 0 && --*countdown == 0;
  }
  int fail_allocation = 0;
  int fail_pinned_allocation = 0;
  int fail_launch = 0;
  int fail_execution = 0;

  int device_count = 1;
  cudaError_t no_device = cudaErrorNoDevice;
  Schedule schedule;
  Counts counts;
  // Pinned host memory: begin -> bytes.
  std::map<char*, size_t> pinned;
  // Kernels that may have so much dynamic shared memory.
  std::map<const void*, size_t> shared_limits;

  bool IsPinned(const void* memory, size_t bytes) const;
  void Reset();

 private:
  DeviceMemory* memory_ = nullptr;
  cudaError_t last_ = cudaSuccess;
  cudaError_t lost_ = cudaSuccess;
};

Device& TheDevice();

}  // namespace cuda_emulation

#endif  // TLIN_TESTS_CUDA_EMULATION_DEVICE_H_
