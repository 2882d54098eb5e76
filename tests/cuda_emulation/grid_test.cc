// Threads, barriers and warps; and that what CUDA leaves undefined ends a test.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "gpu/device.h"
#include "tests/cuda_emulation/control.h"
#include "tests/cuda_emulation/testing.h"

namespace cuda_emulation {
namespace {

using ::testing::Each;

using Order = Schedule::Order;

class GridTest : public testing::TestWithParam<Order> {
 protected:
  void SetUp() override {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    SetSchedule({GetParam(), 7});
  }
  void TearDown() override { SetSchedule({}); }
};

// Runs it on the default stream.
template <class... Parameters, class... Arguments>
void RunKernel(void (*kernel)(Parameters...), dim3 grid, dim3 block,
               size_t shared, Arguments... arguments) {
  ASSERT_EQ(gpu::Launch(kernel, grid, block, shared, nullptr, arguments...),
            cudaSuccess);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
}

__global__ void WriteIndex(int* out) {
  const unsigned block =
      (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread =
      (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
  out[block * threads + thread] = static_cast<int>(block * threads + thread);
}

TEST_P(GridTest, EveryThreadRunsOnce) {
  const OnDevice<int> out(2 * 3 * 4 * 5 * 3 * 2);
  RunKernel(WriteIndex, dim3(2, 3, 4), dim3(5, 3, 2), 0, out.data());
  std::vector<int> expected(out.bytes() / sizeof(int));
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(out.Read(), expected);
}

// Each thread hands its value to the next, round by round.
__global__ void RotateByShared(int* values, int rounds) {
  int* const shared = gpu::DynamicShared<int>();
  int mine = values[threadIdx.x];
  for (int round = 0; round < rounds; ++round) {
    shared[threadIdx.x] = mine;
    __syncthreads();
    mine = shared[(threadIdx.x + 1) % blockDim.x];
    __syncthreads();
  }
  values[threadIdx.x] = mine;
}

TEST_P(GridTest, BarriersPutSharedMemoryInOrder) {
  std::vector<int> values(200);
  std::iota(values.begin(), values.end(), 0);
  const OnDevice<int> device(values);
  RunKernel(RotateByShared, 1, 200, 200 * sizeof(int), device.data(), 3);
  std::rotate(values.begin(), values.begin() + 3, values.end());
  EXPECT_EQ(device.Read(), values);
}

__global__ void Shuffles(int* out) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  int* const mine = out + threadIdx.x * 8;
  mine[0] = __shfl_sync(~0u, lane, 5);
  mine[1] = __shfl_sync(~0u, lane, 3, 8);
  mine[2] = __shfl_xor_sync(~0u, lane, 16);
  mine[3] = __shfl_down_sync(~0u, lane, 2);
  mine[4] = __shfl_up_sync(~0u, lane, 2);
  mine[5] = static_cast<int>(__ballot_sync(~0u, lane % 2));
  mine[6] = __any_sync(~0u, lane == 31);
  mine[7] = __all_sync(~0u, lane == 31);
}

TEST_P(GridTest, LanesOfAWarpExchangeValues) {
  const OnDevice<int> out(64 * 8);
  RunKernel(Shuffles, 1, 64, 0, out.data());
  const std::vector<int> all = out.Read();
  for (int thread = 0; thread < 64; ++thread) {
    const int lane = thread % 32;
    const std::vector<int> mine(all.begin() + thread * 8,
                                all.begin() + thread * 8 + 8);
    EXPECT_EQ(mine, (std::vector<int>{5, lane / 8 * 8 + 3, lane ^ 16,
                                      lane < 30 ? lane + 2 : lane,
                                      lane >= 2 ? lane - 2 : lane,
                                      static_cast<int>(0xaaaaaaaa), 1, 0}));
  }
}

__global__ void Votes(int* out) {
  const int odd = threadIdx.x % 2;
  const int count = __syncthreads_count(odd);
  const int all = __syncthreads_and(odd);
  const int any = __syncthreads_or(odd);
  out[threadIdx.x] = count * 100 + all * 10 + any;
}

TEST_P(GridTest, BlocksVote) {
  const OnDevice<int> out(50);
  RunKernel(Votes, 1, 50, 0, out.data());
  EXPECT_THAT(out.Read(), Each(2501));
}

__global__ void Atomics(int* sum, float* float_sum, int* most) {
  atomicAdd(sum, 1);
  atomicAdd(float_sum, 0.5f);
  atomicMax(most, static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x));
}

TEST_P(GridTest, AtomicsAddUp) {
  const OnDevice<int> sum(std::vector<int>{0});
  const OnDevice<float> float_sum(std::vector<float>{0});
  const OnDevice<int> most(std::vector<int>{0});
  RunKernel(Atomics, 3, 70, 0, sum.data(), float_sum.data(), most.data());
  EXPECT_EQ(sum.Read().at(0), 210);
  EXPECT_EQ(float_sum.Read().at(0), 105.0f);
  EXPECT_EQ(most.Read().at(0), 209);
}

// Values pass through shared memory within a warp.
__global__ void ReverseWarp(int* values, bool ordered) {
  int* const shared = gpu::DynamicShared<int>();
  shared[threadIdx.x] = values[threadIdx.x];
  if (ordered) __syncwarp();
  values[threadIdx.x] = shared[31 - threadIdx.x];
}

TEST_P(GridTest, WarpsSynchronize) {
  std::vector<int> values(32);
  std::iota(values.begin(), values.end(), 0);
  const OnDevice<int> device(values);
  RunKernel(ReverseWarp, 1, 32, 128, device.data(), true);
  std::reverse(values.begin(), values.end());
  EXPECT_EQ(device.Read(), values);
}

__global__ void ReadShared(float* out) { *out = *gpu::DynamicShared<float>(); }

TEST_P(GridTest, SharedMemoryBeginsAsNaN) {
  const OnDevice<float> out(1);
  RunKernel(ReadShared, 1, 1, 4, out.data());
  EXPECT_TRUE(std::isnan(out.Read().at(0)));
}

// --- Planted bugs.

__global__ void LeaveBeforeBarrier() {
  if (threadIdx.x == 40) return;
  __syncthreads();
}

__global__ void TwoBarriers() {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void BarrierOfSome() {
  if (threadIdx.x < 32) __syncthreads();
  if (threadIdx.x >= 32) __shfl_sync(~0u, 1, threadIdx.x == 33 ? 1 : 0);
  if (threadIdx.x == 32) __syncwarp(3);
}

__global__ void DivergentShuffle() {
  if (threadIdx.x < 16) {
    __shfl_sync(~0u, 1, 0);
  } else {
    __shfl_sync(~0u, 1, 0);
  }
}

__global__ void ShuffleFromOutside() { __shfl_sync(0xffff, 1, 20); }

__global__ void ShuffleOfTheDead() {
  if (threadIdx.x == 3) return;
  __shfl_sync(~0u, 1, 0);
}

__global__ void NotInItsMask() {
  __syncwarp(threadIdx.x == 0 ? 2 : 1u << threadIdx.x);
}

void RunBug(void (*kernel)(), unsigned threads) {
  gpu::Launch(kernel, 1, threads, 0, nullptr);
  cudaDeviceSynchronize();
}

TEST_P(GridTest, UndefinedBehaviourIsAFault) {
  EXPECT_DEATH(RunBug(LeaveBeforeBarrier, 64),
               "barrier that other threads of the block have left.*"
               "grid_test.cc.*LeaveBeforeBarrier");
  EXPECT_DEATH(RunBug(TwoBarriers, 64), "wait at different barriers");
  EXPECT_DEATH(RunBug(BarrierOfSome, 64),
               "no thread of the block can go on|lane that has ended");
  EXPECT_DEATH(RunBug(DivergentShuffle, 32), "meet at different operations");
  EXPECT_DEATH(RunBug(ShuffleFromOutside, 16), "not in the mask");
  EXPECT_DEATH(RunBug(ShuffleOfTheDead, 32), "lane that has ended");
  EXPECT_DEATH(RunBug(NotInItsMask, 32), "not in its own mask");
}

INSTANTIATE_TEST_SUITE_P(Orders, GridTest,
                         testing::Values(Order::kAscending, Order::kDescending,
                                         Order::kRandom));

}  // namespace
}  // namespace cuda_emulation
