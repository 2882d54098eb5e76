// A copy that ThreadSanitizer does not see: between threads of a kernel, by the
// hardware's own ways.
#ifndef TLIN_TESTS_CUDA_EMULATION_SMALL_COPY_H_
#define TLIN_TESTS_CUDA_EMULATION_SMALL_COPY_H_

#include <cstddef>
#include <cstring>

namespace cuda_emulation {

inline void SmallCopy(char* to, const void* from, size_t bytes) {
  const char* source = static_cast<const char*>(from);
  for (; bytes >= 8; bytes -= 8, to += 8, source += 8) {
    std::memcpy(to, source, 8);     // one instruction
    asm volatile("" ::: "memory");  // else the loop becomes a call of memcpy
  }
  for (; bytes > 0; --bytes) {
    *to++ = *source++;
    asm volatile("" ::: "memory");
  }
}

}  // namespace cuda_emulation

#endif  // TLIN_TESTS_CUDA_EMULATION_SMALL_COPY_H_
