#include "tests/cuda_emulation/traffic.h"

#include <cstddef>
#include <vector>

#include "tests/cuda_emulation/control.h"
#include "tests/cuda_emulation/device.h"
#include "tests/cuda_emulation/grid.h"

namespace cuda_emulation {
namespace {

// What is told apart: two bytes, the smallest that kernels read.
constexpr size_t kUnit = 2;

// For each unit of device memory the last kernel that touched it.
class Touched {
 public:
  int64_t bytes() const { return bytes_; }
  void Start(size_t units) {
    last_.assign(units, 0);
    bytes_ = 0;
  }
  void Touch(size_t begin, size_t end, uint32_t kernel) {
    for (size_t unit = begin; unit < end; ++unit) {
      if (last_[unit] == kernel) continue;
      last_[unit] = kernel;
      bytes_ += kUnit;
    }
  }

 private:
  std::vector<uint32_t> last_;
  int64_t bytes_ = 0;
};

struct Counter {
  bool on = false;
  Touched read;
  Touched written;
  Counts before;
};

Counter& TheCounter() {
  static auto* const counter = new Counter;
  return *counter;
}

void Access(const void* place, size_t bytes, Touched Counter::*touched) {
  if (current_thread == nullptr) return;  // the host's
  Counter& counter = TheCounter();
  if (!counter.on) return;
  const DeviceMemory& memory = TheDevice().memory();
  const auto offset =
      static_cast<size_t>(static_cast<const char*>(place) - memory.begin());
  if (offset >= memory.total()) return;  // shared memory, or a thread's own
  (counter.*touched)
      .Touch(offset / kUnit, (offset + bytes + kUnit - 1) / kUnit,
             static_cast<uint32_t>(GridsBegun()));
}

}  // namespace

void StartTraffic() {
  Counter& counter = TheCounter();
  counter.on = true;
  counter.read.Start(TheDevice().memory().total() / kUnit + 1);
  counter.written.Start(TheDevice().memory().total() / kUnit + 1);
  counter.before = DeviceCounts();
}

Traffic TrafficSinceStart() {
  const Counter& counter = TheCounter();
  const Counts now = DeviceCounts();
  Traffic traffic;
  traffic.read_bytes = counter.read.bytes();
  traffic.written_bytes = counter.written.bytes();
  traffic.product_bytes = now.product_bytes - counter.before.product_bytes;
  traffic.copied_bytes = now.copied_bytes - counter.before.copied_bytes;
  traffic.product_flops = now.product_flops - counter.before.product_flops;
  return traffic;
}

}  // namespace cuda_emulation

using cuda_emulation::Access;
using cuda_emulation::Counter;

// What a compiler calls under -fsanitize=thread.
#define TLIN_ACCESSES(bytes)                        \
  void __tsan_read##bytes(void* place) {            \
    Access(place, bytes, &Counter::read);           \
  }                                                 \
  void __tsan_write##bytes(void* place) {           \
    Access(place, bytes, &Counter::written);        \
  }                                                 \
  void __tsan_unaligned_read##bytes(void* place) {  \
    Access(place, bytes, &Counter::read);           \
  }                                                 \
  void __tsan_unaligned_write##bytes(void* place) { \
    Access(place, bytes, &Counter::written);        \
  }
// Kernels' atomics are adds and exchanges in shared memory.
#define TLIN_ATOMICS(bits, type)                                           \
  type __tsan_atomic##bits##_fetch_add(type* place, type value, int) {     \
    return __atomic_fetch_add(place, value, __ATOMIC_RELAXED);             \
  }                                                                        \
  type __tsan_atomic##bits##_load(const type* place, int) {                \
    return __atomic_load_n(place, __ATOMIC_RELAXED);                       \
  }                                                                        \
  int __tsan_atomic##bits##_compare_exchange_strong(                       \
      type* place, type* expected, type wanted, int, int) {                \
    return __atomic_compare_exchange_n(place, expected, wanted, false,     \
                                       __ATOMIC_RELAXED, __ATOMIC_RELAXED) \
               ? 1                                                         \
               : 0;                                                        \
  }

extern "C" {

TLIN_ACCESSES(1)
TLIN_ACCESSES(2)
TLIN_ACCESSES(4)
TLIN_ACCESSES(8)
TLIN_ACCESSES(16)
TLIN_ATOMICS(32, uint32_t)
TLIN_ATOMICS(64, uint64_t)

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void __tsan_read_range(void* place, unsigned long bytes) {
  Access(place, bytes, &Counter::read);
}
void __tsan_write_range(void* place, unsigned long bytes) {
  Access(place, bytes, &Counter::written);
}

}  // extern "C"
