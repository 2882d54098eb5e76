// What AddressSanitizer says of kernels. Only of a build with it.
#include <gtest/gtest.h>

#include <vector>

#include "gpu/device.h"
#include "tests/cuda_emulation/testing.h"

namespace cuda_emulation {
namespace {

__global__ void WriteAt(int* values, int index) { values[index] = 1; }
__global__ void ReadAt(int* values, int index) { values[0] = values[index]; }
__global__ void WriteShared(int index) { gpu::DynamicShared<int>()[index] = 1; }
__global__ void CopyTo(const int* from, int index) {
  gpu::CopyAsync<16>(gpu::DynamicShared<int>() + index, from, true);
  gpu::CopyAsyncCommit();
  gpu::CopyAsyncWait<0>();
}

template <class... Parameters, class... Arguments>
void RunKernel(void (*kernel)(Parameters...), Arguments... arguments) {
  gpu::Launch(kernel, 1, 1, 64, nullptr, arguments...);
  cudaDeviceSynchronize();
}

TEST(BoundsTest, WhatIsOutOfThemIsCaught) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const OnDevice<int> values(10);
  RunKernel(WriteAt, values.data(), 9);
  RunKernel(ReadAt, values.data(), 9);
  RunKernel(WriteShared, 15);
  EXPECT_DEATH(RunKernel(WriteAt, values.data(), 10), "use-after-poison");
  EXPECT_DEATH(RunKernel(WriteAt, values.data(), -1), "use-after-poison");
  EXPECT_DEATH(RunKernel(ReadAt, values.data(), 10), "use-after-poison");
  EXPECT_DEATH(RunKernel(WriteShared, 16), "heap-buffer-overflow");
  EXPECT_DEATH(RunKernel(CopyTo, values.data(), 13), "heap-buffer-overflow");
  EXPECT_DEATH(RunKernel(CopyTo, values.data() + 7, 0), "use-after-poison");
}

TEST(BoundsTest, WhatWasFreedIsGone) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  int* freed = nullptr;
  {
    const OnDevice<int> values(10);
    freed = values.data();
  }
  EXPECT_DEATH(RunKernel(WriteAt, freed, 0), "use-after-poison");
}

}  // namespace
}  // namespace cuda_emulation
