// For tests of kernels: memory that is there while a test needs it.
#ifndef TLIN_TESTS_CUDA_EMULATION_TESTING_H_
#define TLIN_TESTS_CUDA_EMULATION_TESTING_H_

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <vector>

namespace cuda_emulation {

// Elements in device memory.
template <class T>
class OnDevice {
 public:
  explicit OnDevice(size_t count) : count_(count) {
    void* memory = nullptr;
    EXPECT_EQ(cudaMalloc(&memory, bytes()), cudaSuccess);
    data_ = static_cast<T*>(memory);
  }
  explicit OnDevice(const std::vector<T>& values) : OnDevice(values.size()) {
    EXPECT_EQ(cudaMemcpy(data_, values.data(), bytes(), cudaMemcpyHostToDevice),
              cudaSuccess);
  }
  ~OnDevice() { cudaFree(data_); }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

  T* data() const { return data_; }
  size_t bytes() const { return count_ * sizeof(T); }

  // After all that the default stream was given.
  std::vector<T> Read() const {
    std::vector<T> values(count_);
    EXPECT_EQ(cudaMemcpy(values.data(), data_, bytes(), cudaMemcpyDeviceToHost),
              cudaSuccess);
    return values;
  }

 private:
  const size_t count_;
  T* data_ = nullptr;
};

}  // namespace cuda_emulation

#endif  // TLIN_TESTS_CUDA_EMULATION_TESTING_H_
