// Of a build with ThreadSanitizer. Compiled without it, as all of the
// emulation: what the emulation does between two threads of a kernel is not
// theirs.
#include <sanitizer/tsan_interface.h>

#include "tests/cuda_emulation/sanitizers.h"

namespace cuda_emulation {

void StartStackSwitch(void**, const void*, size_t) {}
void FinishStackSwitch(void*, const void**, size_t*) {}
void Poison(const void*, size_t) {}
void Unpoison(const void*, size_t) {}
void* CreateSanitizedThread() { return __tsan_create_fiber(0); }
void DestroySanitizedThread(void* thread) { __tsan_destroy_fiber(thread); }
void* CurrentSanitizedThread() { return __tsan_get_current_fiber(); }
void SwitchSanitizedThread(void* thread) {
  __tsan_switch_to_fiber(thread, __tsan_switch_to_fiber_no_sync);
}
void Release(void* place) { __tsan_release(place); }
void Acquire(void* place) { __tsan_acquire(place); }

}  // namespace cuda_emulation
