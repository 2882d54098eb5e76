// What weights, caches and the inputs of products are made of: float or bf16.
#ifndef TLIN_ENGINE_BACKEND_CUDA_ELEMENT_H_
#define TLIN_ENGINE_BACKEND_CUDA_ELEMENT_H_

#include "gpu/device.h"

namespace tlin::cuda {

using Bf16 = __nv_bfloat16;

__device__ __forceinline__ float ToFloat(float value) { return value; }
__device__ __forceinline__ float ToFloat(Bf16 value) {
  return __bfloat162float(value);
}

template <class T>
__device__ __forceinline__ T FromFloat(float value);
template <>
__device__ __forceinline__ float FromFloat<float>(float value) {
  return value;
}
template <>
__device__ __forceinline__ Bf16 FromFloat<Bf16>(float value) {
  return __float2bfloat16(value);
}

}  // namespace tlin::cuda

#endif  // TLIN_ENGINE_BACKEND_CUDA_ELEMENT_H_
