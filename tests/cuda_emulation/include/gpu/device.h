// What a kernel's source includes; here as g++ compiles it, to run on the CPU.
// engine/backend/cuda/nvcc/gpu/device.h is the same for nvcc: the build picks
// one. Kernels have dynamic shared memory only.
#ifndef TLIN_TESTS_CUDA_EMULATION_INCLUDE_GPU_DEVICE_H_
#define TLIN_TESTS_CUDA_EMULATION_INCLUDE_GPU_DEVICE_H_

#include <math.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <type_traits>

#define __launch_bounds__(...)
#include <cuda_bf16.h>
#include <cuda_runtime_api.h>
#include <vector_functions.h>

#include "tests/cuda_emulation/grid.h"
#include "tests/cuda_emulation/launch.h"
#include "tests/cuda_emulation/tensor_core.h"

#define threadIdx (::cuda_emulation::current_thread->thread_index)
#define blockIdx (::cuda_emulation::current_thread->block_index)
#define blockDim (::cuda_emulation::current_thread->block_dim)
#define gridDim (::cuda_emulation::current_thread->grid_dim)

#define TLIN_EMULATED_AT \
  const ::cuda_emulation::Location& at = ::cuda_emulation::Location::current()

// --- CUDA's own.

inline void __syncthreads(TLIN_EMULATED_AT) {
  ::cuda_emulation::BlockVote(0, ::cuda_emulation::Vote::kCount, at);
}
inline int __syncthreads_count(int predicate, TLIN_EMULATED_AT) {
  return ::cuda_emulation::BlockVote(predicate, ::cuda_emulation::Vote::kCount,
                                     at);
}
inline int __syncthreads_and(int predicate, TLIN_EMULATED_AT) {
  return ::cuda_emulation::BlockVote(predicate, ::cuda_emulation::Vote::kAll,
                                     at);
}
inline int __syncthreads_or(int predicate, TLIN_EMULATED_AT) {
  return ::cuda_emulation::BlockVote(predicate, ::cuda_emulation::Vote::kAny,
                                     at);
}
inline void __syncwarp(unsigned mask = ~0u, TLIN_EMULATED_AT) {
  const char nothing = 0;
  ::cuda_emulation::WarpExchange(mask, &nothing, 1, /*orders_memory=*/true, at);
}

namespace cuda_emulation {

template <class T>
T ShuffleFrom(unsigned mask, T value, unsigned lane, const Location& at) {
  static_assert(sizeof(T) <= kMaxExchangeBytes);
  if ((mask >> lane & 1) == 0) {
    Fault("a shuffle reads from a lane that is not in the mask", at);
  }
  const auto* const all = static_cast<const char*>(
      WarpExchange(mask, &value, sizeof(T), /*orders_memory=*/false, at));
  std::memcpy(&value, all + lane * sizeof(T), sizeof(T));
  return value;
}

}  // namespace cuda_emulation

template <class T>
T __shfl_sync(unsigned mask, T value, int from, int width = 32,
              TLIN_EMULATED_AT) {
  const unsigned lane = ::cuda_emulation::current_thread->lane;
  const unsigned within = static_cast<unsigned>(width) - 1;
  return ::cuda_emulation::ShuffleFrom(
      mask, value, (lane & ~within) | (static_cast<unsigned>(from) & within),
      at);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int = 32,
                  TLIN_EMULATED_AT) {
  return ::cuda_emulation::ShuffleFrom(
      mask, value,
      ::cuda_emulation::current_thread->lane ^ static_cast<unsigned>(bits), at);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = 32,
                   TLIN_EMULATED_AT) {
  const unsigned lane = ::cuda_emulation::current_thread->lane;
  const unsigned size = static_cast<unsigned>(width);
  const unsigned from = lane + distance;
  return ::cuda_emulation::ShuffleFrom(
      mask, value, from / size == lane / size ? from : lane, at);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = 32,
                 TLIN_EMULATED_AT) {
  const unsigned lane = ::cuda_emulation::current_thread->lane;
  const unsigned within = lane % static_cast<unsigned>(width);
  return ::cuda_emulation::ShuffleFrom(
      mask, value, within >= distance ? lane - distance : lane, at);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, TLIN_EMULATED_AT) {
  const auto* const all =
      static_cast<const int*>(::cuda_emulation::WarpExchange(
          mask, &predicate, sizeof(int), /*orders_memory=*/false, at));
  unsigned votes = 0;
  for (unsigned lane = 0; lane < 32; ++lane) {
    if ((mask >> lane & 1) != 0 && all[lane] != 0) votes |= 1u << lane;
  }
  return votes;
}
inline int __any_sync(unsigned mask, int predicate, TLIN_EMULATED_AT) {
  return __ballot_sync(mask, predicate, at) != 0 ? 1 : 0;
}
inline int __all_sync(unsigned mask, int predicate, TLIN_EMULATED_AT) {
  return __ballot_sync(mask, predicate, at) == mask ? 1 : 0;
}

template <class T>
T atomicAdd(T* place, T value) {
  if constexpr (std::is_integral_v<T>) {
    return __atomic_fetch_add(place, value, __ATOMIC_RELAXED);
  } else {
    T before = 0;
    T after = 0;
    __atomic_load(place, &before, __ATOMIC_RELAXED);
    do {
      after = before + value;
    } while (!__atomic_compare_exchange(place, &before, &after, false,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return before;
  }
}
template <class T>
T atomicMax(T* place, T value) {
  T before = __atomic_load_n(place, __ATOMIC_RELAXED);
  while (before < value &&
         !__atomic_compare_exchange_n(place, &before, value, false,
                                      __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return before;
}

template <class T>
constexpr T min(T a, T b) {
  return b < a ? b : a;
}
template <class T>
constexpr T max(T a, T b) {
  return a < b ? b : a;
}
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline int __ffs(unsigned bits) {
  return __builtin_ffs(static_cast<int>(bits));
}
inline float __fmul_rn(float a, float b) { return a * b; }

// --- Ours, for both.

namespace gpu {

// Of no blocks there is nothing to do.
template <class... Parameters, class... Arguments>
cudaError_t Launch(void (*kernel)(Parameters...), dim3 grid, dim3 block,
                   size_t shared_bytes, cudaStream_t stream,
                   Arguments&&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return cudaSuccess;
  // By value, as a launch takes them.
  std::tuple<std::decay_t<Parameters>...> values(
      static_cast<Parameters>(arguments)...);
  return ::cuda_emulation::LaunchKernel(
      reinterpret_cast<const void*>(kernel), grid, block, shared_bytes, stream,
      [kernel, values] { std::apply(kernel, values); });
}

// Aligned to 16 bytes.
template <class T>
T* DynamicShared() {
  return static_cast<T*>(::cuda_emulation::DynamicSharedMemory());
}

// d += a b: a [16, 16] by rows and b [16, 8] by columns, bf16; d f32 [16, 8].
// PTX ISA: mma.m16n8k16.
inline void MmaBf16(float (&d)[4], const uint32_t (&a)[4],
                    const uint32_t (&b)[2], TLIN_EMULATED_AT) {
  ::cuda_emulation::MmaBf16(d, a, b, at);
}

// PTX ISA: ldmatrix of 8 x 8 matrices of 16 bits; lane i gives the address of
// row i % 8 of matrix i / 8.
inline void LoadMatrices(uint32_t (&to)[4], const void* row, TLIN_EMULATED_AT) {
  ::cuda_emulation::LoadMatrices(to, /*transposed=*/false, row, at);
}
inline void LoadMatricesTransposed(uint32_t (&to)[4], const void* row,
                                   TLIN_EMULATED_AT) {
  ::cuda_emulation::LoadMatrices(to, /*transposed=*/true, row, at);
}

// PTX ISA: cp.async of 4, 8 or 16 bytes to shared memory; zeros where not
// `valid`.
template <int kBytes>
void CopyAsync(void* to, const void* from, bool valid) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
  const ::cuda_emulation::AsyncCopy copy = {static_cast<uint32_t*>(to),
                                            static_cast<const uint32_t*>(from),
                                            kBytes / 4, valid};
  // The copy may land from now on: NaNs until it has.
  for (unsigned i = 0; i < copy.words; ++i) copy.to[i] = ~0u;
  ::cuda_emulation::PutAsyncCopy(copy);
}
inline void CopyAsyncCommit() { ::cuda_emulation::CommitAsyncCopies(); }
template <int kPending>
void CopyAsyncWait() {
  ::cuda_emulation::AsyncCopy copy;
  while (::cuda_emulation::TakeAsyncCopy(kPending, &copy)) {
    for (unsigned i = 0; i < copy.words; ++i) {
      copy.to[i] = copy.valid ? copy.from[i] : 0;
    }
  }
}

}  // namespace gpu

#endif  // TLIN_TESTS_CUDA_EMULATION_INCLUDE_GPU_DEVICE_H_
