#include "tests/cuda_emulation/device.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/cuda_emulation/location.h"
#include "tests/cuda_emulation/sanitizers.h"

namespace cuda_emulation {
namespace {

constexpr size_t kAlignment = 256;
constexpr size_t kGap = 256;
// Reserved, not taken: pages become real when they are written.
constexpr size_t kDefaultMemory = size_t{8} << 30;

// What a process that no test controls (a whole tlind) is to have.
size_t DefaultMemory() {
  const char* const bytes = std::getenv("TLIN_EMULATED_GPU_BYTES");
  return bytes == nullptr ? kDefaultMemory : std::strtoull(bytes, nullptr, 10);
}

char* MapMemory(size_t bytes) {
  void* const memory = mmap(nullptr, bytes, PROT_NONE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    std::perror("cuda_emulation: no address space for device memory");
    std::abort();
  }
  return static_cast<char*>(memory);
}

size_t RoundUp(size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// The entry of a map of ranges that holds all of [memory, memory + bytes).
bool Holds(const std::map<char*, size_t>& ranges, const void* memory,
           size_t bytes) {
  auto* const at = static_cast<char*>(const_cast<void*>(memory));
  auto range = ranges.upper_bound(at);
  if (range == ranges.begin()) return false;
  --range;
  return at + bytes <= range->first + range->second;
}

}  // namespace

DeviceMemory::DeviceMemory(size_t bytes)
    : total_(bytes), begin_(MapMemory(bytes)), first_(begin_ + kGap) {
  Poison(begin_, kGap);
}

DeviceMemory::~DeviceMemory() {
  Unpoison(begin_, total_);
  munmap(begin_, total_);
}

void* DeviceMemory::Allocate(size_t bytes) {
  if (bytes > total_) return nullptr;
  const size_t taken = RoundUp(bytes) + kGap;
  // The first gap that is large enough.
  char* at = first_;
  for (const auto& [begin, size] : allocations_) {
    if (static_cast<size_t>(begin - at) >= taken) break;
    at = begin + RoundUp(size) + kGap;
  }
  if (static_cast<size_t>(begin_ + total_ - at) < taken) return nullptr;
  allocations_[at] = bytes;
  used_ += taken;
  const Access access(this);
  Unpoison(at, bytes);
  std::memset(at, 0xff, bytes);
  Poison(at + bytes, taken - bytes);
  return at;
}

bool DeviceMemory::Free(void* memory) {
  const auto found = allocations_.find(static_cast<char*>(memory));
  if (found == allocations_.end()) return false;
  used_ -= RoundUp(found->second) + kGap;
  Poison(found->first, found->second);
  allocations_.erase(found);
  return true;
}

bool DeviceMemory::Owns(const void* memory, size_t bytes) const {
  return Holds(allocations_, memory, bytes);
}

void DeviceMemory::Protect(bool closed) {
  if (closed == closed_) return;
  closed_ = closed;
  if (mprotect(begin_, total_, closed ? PROT_NONE : PROT_READ | PROT_WRITE) !=
      0) {
    std::perror("cuda_emulation: mprotect");
    std::abort();
  }
}

DeviceMemory::Access::Access(DeviceMemory* memory) : memory_(memory) {
  if (memory_->accesses_++ == 0) memory_->Protect(/*closed=*/false);
}

DeviceMemory::Access::~Access() {
  if (--memory_->accesses_ > 0) return;
  if (++memory_->turns_ < memory_->protect_every) return;
  memory_->turns_ = 0;
  memory_->Protect(/*closed=*/true);
}

DeviceMemory& Device::memory() {
  if (memory_ == nullptr) memory_ = new DeviceMemory(DefaultMemory());
  return *memory_;
}

void Device::SetMemory(size_t bytes) {
  if (memory_ != nullptr && memory_->free() != memory_->total()) {
    HostFault("SetDeviceMemory while something is allocated");
  }
  delete memory_;
  memory_ = new DeviceMemory(bytes);
}

cudaError_t Device::Say(cudaError_t error) {
  if (error != cudaSuccess) last_ = error;
  return error;
}

cudaError_t Device::TakeLastError() {
  const cudaError_t error = lost_ != cudaSuccess ? lost_ : last_;
  last_ = cudaSuccess;
  return error;
}

bool Device::IsPinned(const void* memory, size_t bytes) const {
  return Holds(pinned, memory, bytes);
}

void Device::Reset() {
  last_ = lost_ = cudaSuccess;
  fail_allocation = fail_pinned_allocation = fail_launch = fail_execution = 0;
}

Device& TheDevice() {
  static Device* const device = new Device;  // outlives all that uses it
  return *device;
}

void SetSchedule(const Schedule& schedule) { TheDevice().schedule = schedule; }
const Schedule& device_schedule() { return TheDevice().schedule; }
void SetDeviceMemory(size_t bytes) { TheDevice().SetMemory(bytes); }
void SetProtection(int nth) { TheDevice().memory().protect_every = nth; }
void SetDeviceCount(int count, cudaError_t error) {
  TheDevice().device_count = count;
  TheDevice().no_device = error;
}
void FailAllocation(int nth) { TheDevice().fail_allocation = nth; }
void FailPinnedAllocation(int nth) { TheDevice().fail_pinned_allocation = nth; }
void FailLaunch(int nth) { TheDevice().fail_launch = nth; }
void FailExecution(int nth) { TheDevice().fail_execution = nth; }
void ResetDevice() { TheDevice().Reset(); }
Counts DeviceCounts() { return TheDevice().counts; }

}  // namespace cuda_emulation
