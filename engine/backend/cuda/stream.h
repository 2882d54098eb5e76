// A CUDA stream that is released with its object.
#ifndef TLIN_ENGINE_BACKEND_CUDA_STREAM_H_
#define TLIN_ENGINE_BACKEND_CUDA_STREAM_H_

#include <cuda_runtime_api.h>

#include <utility>

namespace tlin::cuda {

class Stream {
 public:
  Stream() = default;
  ~Stream() {
    if (handle_ != nullptr) cudaStreamDestroy(handle_);
  }
  Stream(Stream&& other) noexcept
      : handle_(std::exchange(other.handle_, nullptr)) {}
  Stream& operator=(Stream&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }

  // Of the device's most urgent work, or of its least urgent.
  cudaError_t Create(bool urgent) {
    int least = 0;
    int greatest = 0;
    const cudaError_t error =
        cudaDeviceGetStreamPriorityRange(&least, &greatest);
    if (error != cudaSuccess) return error;
    return cudaStreamCreateWithPriority(&handle_, cudaStreamNonBlocking,
                                        urgent ? greatest : least);
  }

  cudaStream_t get() const { return handle_; }

 private:
  cudaStream_t handle_ = nullptr;
};

}  // namespace tlin::cuda

#endif  // TLIN_ENGINE_BACKEND_CUDA_STREAM_H_
