// Where in a kernel's source something happened, and the end of a test in which
// a kernel did what is not allowed.
#ifndef TLIN_TESTS_CUDA_EMULATION_LOCATION_H_
#define TLIN_TESTS_CUDA_EMULATION_LOCATION_H_

#include <cstring>

namespace cuda_emulation {

// As std::source_location, which clang 14 does not have.
struct Location {
  const char* file = "";
  unsigned line = 0;
  const char* function = "";

  static constexpr Location current(
      const char* file = __builtin_FILE(), unsigned line = __builtin_LINE(),
      const char* function = __builtin_FUNCTION()) {
    return {file, line, function};
  }
};

inline bool SamePlace(const Location& a, const Location& b) {
  return a.line == b.line &&
         (a.file == b.file || std::strcmp(a.file, b.file) == 0);
}

// Says what, where and, from a kernel, in which block and thread; then aborts.
[[noreturn]] void Fault(const char* what, const Location& where);
// The same of a call of the host's.
[[noreturn]] void HostFault(const char* what);

}  // namespace cuda_emulation

#endif  // TLIN_TESTS_CUDA_EMULATION_LOCATION_H_
