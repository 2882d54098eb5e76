// For the two files with instructions of one processor family: AVX512-BF16's
// dot product of bf16 pairs, which Highway 1.0 does not reach.
#ifndef TLIN_ENGINE_BACKEND_CPU_BF16_DOT_H_
#define TLIN_ENGINE_BACKEND_CPU_BF16_DOT_H_

#include <immintrin.h>

#include <algorithm>
#include <cstdint>

#define TLIN_AVX512_BF16 \
  __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16")))

// Loops over registers are marked HWY_UNROLL: left to itself g++ 12 unrolls
// some too late to keep their array out of memory, at a store for each product.

namespace tlin {

// The first `count` of 16 lanes.
inline __mmask16 FirstLanes(int64_t count) {
  return static_cast<__mmask16>(0xFFFFu >>
                                (16 - std::clamp<int64_t>(count, 0, 16)));
}

}  // namespace tlin

#endif  // TLIN_ENGINE_BACKEND_CPU_BF16_DOT_H_
