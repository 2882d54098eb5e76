// Device memory: its size, what the host may not do, and faults that were
// planned.
#include <gtest/gtest.h>

#include <vector>

#include "gpu/device.h"
#include "tests/cuda_emulation/control.h"
#include "tests/cuda_emulation/testing.h"

namespace cuda_emulation {
namespace {

class MemoryTest : public testing::Test {
 protected:
  void SetUp() override {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    SetDeviceMemory(1 << 20);
  }
  void TearDown() override {
    ResetDevice();
    SetDeviceCount(1);
    SetDeviceMemory(1 << 20);
  }

  static size_t Free() {
    size_t free = 0;
    size_t total = 0;
    EXPECT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
    EXPECT_EQ(total, size_t{1} << 20);
    return free;
  }
};

TEST_F(MemoryTest, ThereIsSoMuchAndNoMore) {
  const size_t before = Free();
  void* first = nullptr;
  void* second = nullptr;
  ASSERT_EQ(cudaMalloc(&first, 600'000), cudaSuccess);
  EXPECT_LE(Free(), before - 600'000);
  EXPECT_EQ(cudaMalloc(&second, 600'000), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess) << "it is told once";
  EXPECT_EQ(cudaMalloc(&second, size_t{1} << 62), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaFree(first), cudaSuccess);
  EXPECT_EQ(Free(), before);
  EXPECT_EQ(cudaMalloc(&second, 600'000), cudaSuccess);
  EXPECT_EQ(cudaFree(second), cudaSuccess);
}

TEST_F(MemoryTest, GapsAreUsedAgain) {
  std::vector<void*> parts(4);
  for (void*& part : parts) {
    ASSERT_EQ(cudaMalloc(&part, 200'000), cudaSuccess);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(part) % 256, 0u);
  }
  EXPECT_EQ(cudaFree(parts[1]), cudaSuccess);
  void* again = nullptr;
  ASSERT_EQ(cudaMalloc(&again, 150'000), cudaSuccess);
  EXPECT_EQ(again, parts[1]);
  parts[1] = again;
  for (void* const part : parts) EXPECT_EQ(cudaFree(part), cudaSuccess);
}

TEST_F(MemoryTest, WhatNobodyWroteIsNaN) {
  const OnDevice<float> memory(3);
  for (const float value : memory.Read()) EXPECT_TRUE(std::isnan(value));
  EXPECT_EQ(cudaMemsetAsync(memory.data(), 0, memory.bytes(), nullptr),
            cudaSuccess);
  EXPECT_EQ(memory.Read(), std::vector<float>(3));
}

TEST_F(MemoryTest, TheHostCannotTouchIt) {
  const OnDevice<int> memory(std::vector<int>{5});
  EXPECT_DEATH(std::printf("%d", *memory.data()), "");
  EXPECT_DEATH(*memory.data() = 1, "");
}

TEST_F(MemoryTest, WrongRangesAndPointersAreRefused) {
  const OnDevice<int> memory(4);
  int host[8] = {};
  EXPECT_EQ(cudaMemcpy(host, memory.data(), 20, cudaMemcpyDeviceToHost),
            cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemsetAsync(memory.data(), 0, 20, nullptr),
            cudaErrorInvalidValue);
  EXPECT_DEATH(cudaFree(memory.data() + 1), "no allocation");
  EXPECT_DEATH(cudaFreeHost(host), "not pinned");
}

__global__ void Nothing() {}

cudaError_t RunNothing(dim3 grid, dim3 block, size_t shared) {
  return gpu::Launch(Nothing, grid, block, shared, nullptr);
}

TEST_F(MemoryTest, LaunchesHaveLimits) {
  EXPECT_EQ(RunNothing(1, 1024, 48 << 10), cudaSuccess);
  EXPECT_EQ(RunNothing(1, 1025, 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(RunNothing(1, 0, 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(RunNothing(0, 1, 0), cudaSuccess) << "nothing to do";
  EXPECT_EQ(RunNothing(dim3(1, 70'000), 1, 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(RunNothing(1, 1, 49 << 10), cudaErrorInvalidValue);
  const auto* const kernel = reinterpret_cast<const void*>(&Nothing);
  EXPECT_EQ(cudaFuncSetAttribute(
                kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 100 << 10),
            cudaSuccess);
  EXPECT_EQ(RunNothing(1, 1, 100 << 10), cudaSuccess);
  EXPECT_EQ(cudaFuncSetAttribute(
                kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 228 << 10),
            cudaErrorInvalidValue);
  cudaGetLastError();
}

TEST_F(MemoryTest, PlannedFaultsStrikeOnce) {
  void* memory = nullptr;
  FailAllocation(2);
  ASSERT_EQ(cudaMalloc(&memory, 8), cudaSuccess);
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&memory, 8), cudaErrorMemoryAllocation);
  ASSERT_EQ(cudaMalloc(&memory, 8), cudaSuccess);
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
  FailPinnedAllocation(1);
  EXPECT_EQ(cudaMallocHost(&memory, 8), cudaErrorMemoryAllocation);
  FailLaunch(1);
  EXPECT_EQ(RunNothing(1, 1, 0), cudaErrorLaunchOutOfResources);
  EXPECT_EQ(RunNothing(1, 1, 0), cudaSuccess);
}

TEST_F(MemoryTest, ALostDeviceStaysLost) {
  FailExecution(2);
  EXPECT_EQ(RunNothing(1, 1, 0), cudaSuccess);
  EXPECT_EQ(RunNothing(1, 1, 0), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
  EXPECT_EQ(RunNothing(1, 1, 0), cudaErrorIllegalAddress);
  void* memory = nullptr;
  EXPECT_EQ(cudaMalloc(&memory, 8), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaGetLastError(), cudaErrorIllegalAddress);
  EXPECT_EQ(cudaGetLastError(), cudaErrorIllegalAddress) << "it sticks";
  ResetDevice();
  EXPECT_EQ(cudaMalloc(&memory, 8), cudaSuccess);
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
}

TEST_F(MemoryTest, AMachineWithoutAGpuLeavesTheCountAsItIs) {
  SetDeviceCount(0, cudaErrorInsufficientDriver);
  int count = 77;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorInsufficientDriver);
  EXPECT_EQ(count, 77);
  EXPECT_EQ(cudaSetDevice(0), cudaErrorInvalidDevice);
  cudaGetLastError();
}

}  // namespace
}  // namespace cuda_emulation
