// What a kernel's source includes; here as nvcc compiles it, for a GPU.
// tests/cuda_emulation/include/gpu/device.h is the same for g++: the build
// picks one. Kernels have dynamic shared memory only. sm_80 and up.
#ifndef TLIN_ENGINE_BACKEND_CUDA_NVCC_GPU_DEVICE_H_
#define TLIN_ENGINE_BACKEND_CUDA_NVCC_GPU_DEVICE_H_

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace gpu {

// Of no blocks there is nothing to do.
template <class... Parameters, class... Arguments>
cudaError_t Launch(void (*kernel)(Parameters...), dim3 grid, dim3 block,
                   size_t shared_bytes, cudaStream_t stream,
                   Arguments&&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return cudaSuccess;
  kernel<<<grid, block, shared_bytes, stream>>>(
      static_cast<Parameters>(arguments)...);
  return cudaGetLastError();
}

// Aligned to 16 bytes.
template <class T>
__device__ __forceinline__ T* DynamicShared() {
  extern __shared__ __align__(16) unsigned char shared_memory[];
  return reinterpret_cast<T*>(shared_memory);
}

__device__ __forceinline__ uint32_t SharedAddress(const void* memory) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(memory));
}

// d += a b: a [16, 16] by rows and b [16, 8] by columns, bf16; d f32 [16, 8].
// PTX ISA: mma.m16n8k16.
__device__ __forceinline__ void MmaBf16(float (&d)[4], const uint32_t (&a)[4],
                                        const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// PTX ISA: ldmatrix of 8 x 8 matrices of 16 bits; lane i gives the address of
// row i % 8 of matrix i / 8.
__device__ __forceinline__ void LoadMatrices(uint32_t (&to)[4],
                                             const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(SharedAddress(row))
               : "memory");
}
__device__ __forceinline__ void LoadMatricesTransposed(uint32_t (&to)[4],
                                                       const void* row) {
  asm volatile(
      "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
      : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
      : "r"(SharedAddress(row))
      : "memory");
}

// PTX ISA: cp.async of 4, 8 or 16 bytes to shared memory; zeros where not
// `valid`.
template <int kBytes>
__device__ __forceinline__ void CopyAsync(void* to, const void* from,
                                          bool valid) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
  const int valid_bytes = valid ? kBytes : 0;
  asm volatile(
      "cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(SharedAddress(to)),
      "l"(from), "n"(kBytes), "r"(valid_bytes)
      : "memory");
}
__device__ __forceinline__ void CopyAsyncCommit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int kPending>
__device__ __forceinline__ void CopyAsyncWait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

}  // namespace gpu

#endif  // TLIN_ENGINE_BACKEND_CUDA_NVCC_GPU_DEVICE_H_
