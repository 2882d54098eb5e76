// Races show by the order in which warps run. Not of a build with
// ThreadSanitizer, which ends such a test.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "gpu/device.h"
#include "tests/cuda_emulation/control.h"
#include "tests/cuda_emulation/testing.h"

namespace cuda_emulation {
namespace {

// Without the second barrier a fast warp overwrites what a slow one has not
// read: wrong in one order at least, whichever that is.
__global__ void RotateWithoutSecondBarrier(int* values) {
  int* const shared = gpu::DynamicShared<int>();
  int mine = values[threadIdx.x];
  for (int round = 0; round < 3; ++round) {
    shared[threadIdx.x] = mine;
    __syncthreads();
    mine = shared[(threadIdx.x + 32) % blockDim.x];
  }
  values[threadIdx.x] = mine;
}

TEST(ScheduleTest, AMissingBarrierShowsInSomeOrder) {
  std::vector<int> values(128);
  std::iota(values.begin(), values.end(), 0);
  std::vector<int> expected = values;
  std::rotate(expected.begin(), expected.begin() + 96, expected.end());
  int wrong = 0;
  for (const auto order :
       {Schedule::Order::kAscending, Schedule::Order::kDescending}) {
    SetSchedule({order, 1});
    const OnDevice<int> device(values);
    EXPECT_EQ(gpu::Launch(RotateWithoutSecondBarrier, 1, 128, 512, nullptr,
                          device.data()),
              cudaSuccess);
    if (device.Read() != expected) ++wrong;
  }
  SetSchedule({});
  EXPECT_GE(wrong, 1);
}

}  // namespace
}  // namespace cuda_emulation
