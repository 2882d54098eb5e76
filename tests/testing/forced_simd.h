// Which instruction set the CPU backend's kernels run with, and how a test
// makes them run with a lower one.
#ifndef TLIN_TESTS_TESTING_FORCED_SIMD_H_
#define TLIN_TESTS_TESTING_FORCED_SIMD_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace tlin {

// Highway's bits of the instruction sets that kernels are compiled for and this
// processor runs.
int64_t RunnableSimd();

// The one that a kernel called now would run with.
int64_t DispatchedSimd();

// From now on kernels run with `target`, one of RunnableSimd(); 0: with the
// best there is. Dies if that had no effect. Not while kernels run.
void ForceSimd(int64_t target);

// Of "scalar", "avx2", "avx512" or "neon"; 0 for anything else.
int64_t SimdByName(absl::string_view name);

}  // namespace tlin

#endif  // TLIN_TESTS_TESTING_FORCED_SIMD_H_
