// cp.async: what was not waited for is not there.
#include <gtest/gtest.h>

#include <vector>

#include "gpu/device.h"
#include "tests/cuda_emulation/testing.h"

namespace cuda_emulation {
namespace {

// Copies `in` through shared memory in two groups of 16 bytes a thread, and
// reads what `wait` allows.
template <int kPending, bool kCommit>
__global__ void TwoGroups(const float* in, float* out) {
  float* const shared = gpu::DynamicShared<float>();
  float* const mine = shared + threadIdx.x * 8;
  const float* const from = in + threadIdx.x * 8;
  gpu::CopyAsync<16>(mine, from, true);
  gpu::CopyAsyncCommit();
  gpu::CopyAsync<16>(mine + 4, from + 4, true);
  if (kCommit) gpu::CopyAsyncCommit();
  gpu::CopyAsyncWait<kPending>();
  for (int i = 0; i < 8; ++i) out[threadIdx.x * 8 + i] = mine[i];
  gpu::CopyAsyncCommit();
  gpu::CopyAsyncWait<0>();
}

std::vector<float> RunKernel(void (*kernel)(const float*, float*)) {
  std::vector<float> values(64);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const OnDevice<float> in(values);
  const OnDevice<float> out(values.size());
  EXPECT_EQ(gpu::Launch(kernel, 1, 8, 64 * sizeof(float), nullptr, in.data(),
                        out.data()),
            cudaSuccess);
  return out.Read();
}

TEST(AsyncCopyTest, LandsWhenItsGroupWasWaitedFor) {
  const std::vector<float> all = RunKernel(TwoGroups<0, true>);
  for (int i = 0; i < 64; ++i) EXPECT_EQ(all[i], i);
  // One group may be under way, or was never closed.
  for (const auto kernel : {TwoGroups<1, true>, TwoGroups<0, false>}) {
    const std::vector<float> first = RunKernel(kernel);
    for (int i = 0; i < 64; ++i) {
      if (i % 8 < 4) {
        EXPECT_EQ(first[i], i);
      } else {
        EXPECT_TRUE(std::isnan(first[i])) << i;
      }
    }
  }
}

__global__ void Invalid(const float* in, float* out) {
  float* const shared = gpu::DynamicShared<float>();
  gpu::CopyAsync<8>(shared, in, false);
  gpu::CopyAsync<8>(shared + 2, in, true);
  gpu::CopyAsyncCommit();
  gpu::CopyAsyncWait<0>();
  for (int i = 0; i < 4; ++i) out[i] = shared[i];
}

TEST(AsyncCopyTest, WhatIsNotValidBecomesZeros) {
  const OnDevice<float> in(std::vector<float>{3, 4});
  const OnDevice<float> out(4);
  EXPECT_EQ(gpu::Launch(Invalid, 1, 1, 16, nullptr, in.data(), out.data()),
            cudaSuccess);
  EXPECT_EQ(out.Read(), (std::vector<float>{0, 0, 3, 4}));
}

__global__ void NeverWaits(const float* in) {
  gpu::CopyAsync<8>(gpu::DynamicShared<float>(), in, true);
  gpu::CopyAsyncCommit();
}

TEST(AsyncCopyTest, AThreadMustNotEndBeforeItsCopies) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const OnDevice<float> in(std::vector<float>{3, 4});
  EXPECT_DEATH(
      {
        gpu::Launch(NeverWaits, 1, 1, 16, nullptr, in.data());
        cudaDeviceSynchronize();
      },
      "asynchronous copy that it never waited for");
}

}  // namespace
}  // namespace cuda_emulation
