#include "engine/backend/factory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hwy/targets.h>

namespace tlin {
namespace {

constexpr BackendShape kShape = {16, 2, 32, 50, 8, 8};

TEST(FactoryTest, MakesTheCpuBackend) {
  for (const char* name : {"auto", "cpu"}) {
    const auto device = ChooseDevice(name, "f32", {});
    ASSERT_TRUE(device.ok()) << device.status();
    EXPECT_FALSE(device->is_gpu());
    EXPECT_EQ(device->free_bytes(), 0);
    EXPECT_EQ(device->dtype(), DType::kF32);
    const auto backend = device->Make(kShape);
    ASSERT_TRUE(backend.ok()) << backend.status();
    EXPECT_EQ((*backend)->name(), "cpu");
    EXPECT_EQ((*backend)->dtype(), DType::kF32);
    EXPECT_GT((*backend)->workspace_bytes(), 0);
  }
  EXPECT_EQ(ChooseDevice("cpu", "bf16", {2})->dtype(), DType::kBF16);
}

// Beside this program there is no library of the CUDA backend, and on most
// machines no driver.
TEST(FactoryTest, SaysWhyThereIsNoGpu) {
  const auto why = testing::AnyOf(testing::HasSubstr("no NVIDIA driver"),
                                  testing::HasSubstr("libtlin_cuda.so"));
  const auto device = ChooseDevice("auto", "f32", {});
  ASSERT_TRUE(device.ok()) << device.status();
  EXPECT_THAT(device->why_cpu(), why);
  EXPECT_EQ(ChooseDevice("cpu", "f32", {})->why_cpu(), "");
  EXPECT_THAT(ChooseDevice("cuda:0", "f32", {}).status().message(), why);
}

TEST(FactoryTest, AutoIsBf16WhereTheProcessorHasTheInstructions) {
  EXPECT_EQ(AutoDType(HWY_SCALAR), DType::kF32);
  EXPECT_EQ(AutoDType(HWY_SSE4 | HWY_AVX2), DType::kF32);
  EXPECT_EQ(AutoDType(HWY_SSE4 | HWY_AVX2 | HWY_AVX3), DType::kBF16);
  EXPECT_EQ(AutoDType(HWY_SSE4 | HWY_AVX2 | HWY_AVX3 | HWY_AVX3_DL),
            DType::kBF16);
  EXPECT_EQ(AutoDType(HWY_NEON), DType::kBF16);
  EXPECT_EQ(ChooseDevice("cpu", "auto", {1})->dtype(),
            AutoDType(hwy::SupportedTargets()));
}

TEST(FactoryTest, NamesTheFlagThatIsWrong) {
  const auto expect = [](const absl::Status& status, absl::StatusCode code,
                         const char* flag) {
    EXPECT_EQ(status.code(), code);
    EXPECT_THAT(status.message(), testing::HasSubstr(flag));
  };
  expect(ChooseDevice("gpu", "auto", {}).status(),
         absl::StatusCode::kInvalidArgument, "--device=gpu");
  expect(ChooseDevice("cuda:0", "auto", {}).status(),
         absl::StatusCode::kFailedPrecondition, "--device=cuda:0");
  expect(ChooseDevice("cuda:", "auto", {}).status(),
         absl::StatusCode::kInvalidArgument, "--device=cuda:");
  expect(ChooseDevice("cuda:-1", "auto", {}).status(),
         absl::StatusCode::kInvalidArgument, "--device=cuda:-1");
  expect(ChooseDevice("cpu", "f64", {}).status(),
         absl::StatusCode::kInvalidArgument, "--dtype=f64");
  expect(ChooseDevice("cpu", "f32", {-1}).status(),
         absl::StatusCode::kInvalidArgument, "--threads=-1");
}

TEST(FactoryTest, RefusesShapesThatNoModelHas) {
  for (const BackendShape& shape :
       {BackendShape{16, 0, 32, 50, 8, 8}, BackendShape{15, 3, 32, 50, 8, 8},
        BackendShape{16, 2, 0, 50, 8, 8}, BackendShape{16, 2, 32, 50, 0, 8},
        BackendShape{0, 2, 32, 50, 8, 8}}) {
    EXPECT_EQ(ChooseDevice("cpu", "f32", {1})->Make(shape).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace tlin
