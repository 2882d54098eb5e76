// Of a build without sanitizers.
#include "tests/cuda_emulation/sanitizers.h"

namespace cuda_emulation {

void StartStackSwitch(void**, const void*, size_t) {}
void FinishStackSwitch(void*, const void**, size_t*) {}
void Poison(const void*, size_t) {}
void Unpoison(const void*, size_t) {}
void* CreateSanitizedThread() { return nullptr; }
void DestroySanitizedThread(void*) {}
void* CurrentSanitizedThread() { return nullptr; }
void SwitchSanitizedThread(void*) {}
void Release(void*) {}
void Acquire(void*) {}

}  // namespace cuda_emulation
