// Include before any Highway header: the instruction sets that kernels are
// compiled for. On x86: portable scalar code, AVX2 with FMA, AVX-512; below
// AVX2 nothing would be worth its size. Kernels keep vectors in arrays, which
// scalable vectors (SVE) cannot be.
#ifndef TLIN_ENGINE_BACKEND_CPU_SIMD_TARGETS_H_
#define TLIN_ENGINE_BACKEND_CPU_SIMD_TARGETS_H_

#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_SSE4 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)

#endif  // TLIN_ENGINE_BACKEND_CPU_SIMD_TARGETS_H_
