// Of a build with AddressSanitizer.
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>

#include "tests/cuda_emulation/sanitizers.h"

namespace cuda_emulation {

void StartStackSwitch(void** fake_stack, const void* to, size_t bytes) {
  __sanitizer_start_switch_fiber(fake_stack, to, bytes);
}
void FinishStackSwitch(void* fake_stack, const void** from, size_t* bytes) {
  __sanitizer_finish_switch_fiber(fake_stack, from, bytes);
}
void Poison(const void* memory, size_t bytes) {
  __asan_poison_memory_region(memory, bytes);
}
void Unpoison(const void* memory, size_t bytes) {
  __asan_unpoison_memory_region(memory, bytes);
}
void* CreateSanitizedThread() { return nullptr; }
void DestroySanitizedThread(void*) {}
void* CurrentSanitizedThread() { return nullptr; }
void SwitchSanitizedThread(void*) {}
void Release(void*) {}
void Acquire(void*) {}

}  // namespace cuda_emulation
