// What ThreadSanitizer says of kernels. Only of a build with it.
#include <gtest/gtest.h>

#include <cstdlib>
#include <vector>

#include "gpu/device.h"
#include "tests/cuda_emulation/testing.h"

namespace cuda_emulation {
namespace {

__global__ void Rotate(int* values, bool first, bool second) {
  int* const shared = gpu::DynamicShared<int>();
  for (int round = 0; round < 2; ++round) {
    shared[threadIdx.x] = values[threadIdx.x];
    if (first) __syncthreads();
    values[threadIdx.x] = shared[(threadIdx.x + 1) % blockDim.x];
    if (second) __syncthreads();
  }
}

__global__ void Sum(int* sum, bool atomic) {
  if (atomic) {
    atomicAdd(sum, 1);
  } else {
    *sum += 1;
  }
}

// A shuffle puts no memory in order.
__global__ void ReverseAfterShuffle(int* values, bool synchronize) {
  int* const shared = gpu::DynamicShared<int>();
  shared[threadIdx.x] = 1;
  if (synchronize) {
    __syncwarp();
  } else {
    __shfl_sync(~0u, 1, 0);
  }
  values[threadIdx.x] = shared[31 - threadIdx.x];
}

// A thread that waits for its own copies knows nothing of the others'.
__global__ void CopyForTheNext(const int* from, int* to, bool barrier) {
  int* const shared = gpu::DynamicShared<int>();
  gpu::CopyAsync<4>(shared + threadIdx.x, from + threadIdx.x, true);
  gpu::CopyAsyncCommit();
  gpu::CopyAsyncWait<0>();
  if (barrier) __syncthreads();
  to[threadIdx.x] = shared[(threadIdx.x + 1) % blockDim.x];
}

template <class... Parameters, class... Arguments>
void RunKernel(void (*kernel)(Parameters...), unsigned threads,
               Arguments... arguments) {
  gpu::Launch(kernel, 2, threads, 1024, nullptr, arguments...);
  cudaDeviceSynchronize();
}

constexpr char kRace[] = "data race";

class RacesTest : public testing::Test {
 protected:
  void SetUp() override {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    // In a death test's process a report is the end.
    setenv("TSAN_OPTIONS", "halt_on_error=1", /*overwrite=*/1);
  }
  const OnDevice<int> values_{std::vector<int>(64)};
  const OnDevice<int> more_{std::vector<int>(64)};
};

TEST_F(RacesTest, MissingBarriersAreCaught) {
  // Of one block: the other's would write the same places.
  const auto rotate = [&](bool first, bool second) {
    gpu::Launch(Rotate, 1, 64, 256, nullptr, values_.data(), first, second);
    cudaDeviceSynchronize();
  };
  rotate(true, true);
  EXPECT_DEATH(rotate(false, true), kRace);
  EXPECT_DEATH(rotate(true, false), kRace);
}

TEST_F(RacesTest, UpdatesThatAreNotAtomicAreCaught) {
  RunKernel(Sum, 40, values_.data(), true);
  EXPECT_EQ(values_.Read().at(0), 80);
  EXPECT_DEATH(RunKernel(Sum, 40, values_.data(), false), kRace);
}

TEST_F(RacesTest, AShuffleIsNoBarrier) {
  gpu::Launch(ReverseAfterShuffle, 1, 32, 128, nullptr, values_.data(), true);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_DEATH(
      {
        gpu::Launch(ReverseAfterShuffle, 1, 32, 128, nullptr, values_.data(),
                    false);
        cudaDeviceSynchronize();
      },
      kRace);
}

TEST_F(RacesTest, AsynchronousCopiesNeedABarrier) {
  gpu::Launch(CopyForTheNext, 1, 64, 256, nullptr, values_.data(), more_.data(),
              true);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_DEATH(
      {
        gpu::Launch(CopyForTheNext, 1, 64, 256, nullptr, values_.data(),
                    more_.data(), false);
        cudaDeviceSynchronize();
      },
      kRace);
}

}  // namespace
}  // namespace cuda_emulation
