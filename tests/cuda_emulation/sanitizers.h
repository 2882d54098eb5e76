// What AddressSanitizer and ThreadSanitizer are told of fibers, barriers and
// device memory. Nothing where a build has neither.
#ifndef TLIN_TESTS_CUDA_EMULATION_SANITIZERS_H_
#define TLIN_TESTS_CUDA_EMULATION_SANITIZERS_H_

#include <cstddef>

namespace cuda_emulation {

// --- AddressSanitizer: which stack is in use, which memory nobody may touch.
void StartStackSwitch(void** fake_stack, const void* to, size_t bytes);
void FinishStackSwitch(void* fake_stack, const void** from, size_t* bytes);
void Poison(const void* memory, size_t bytes);
void Unpoison(const void* memory, size_t bytes);

// --- ThreadSanitizer: a thread for each of a kernel's. Null without it.
void* CreateSanitizedThread();
void DestroySanitizedThread(void* thread);
void* CurrentSanitizedThread();
// Says nothing of an order between the two.
void SwitchSanitizedThread(void* thread);
// What came before a Release is before what comes after an Acquire of the same
// place.
void Release(void* place);
void Acquire(void* place);

}  // namespace cuda_emulation

#endif  // TLIN_TESTS_CUDA_EMULATION_SANITIZERS_H_
