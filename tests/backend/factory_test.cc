#include "engine/backend/factory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hwy/targets.h>

namespace tlin {
namespace {

constexpr BackendShape kShape = {16, 2, 32, 50, 8, 8};

TEST(FactoryTest, MakesTheCpuBackend) {
  for (const char* device : {"auto", "cpu"}) {
    const auto backend = MakeBackend(device, "f32", kShape, {});
    ASSERT_TRUE(backend.ok()) << backend.status();
    EXPECT_EQ(backend->backend->name(), "cpu");
    EXPECT_EQ(backend->backend->dtype(), DType::kF32);
    EXPECT_GT(backend->backend->workspace_bytes(), 0);
  }
  EXPECT_EQ(MakeBackend("cpu", "bf16", kShape, {2})->backend->dtype(),
            DType::kBF16);
}

// Beside this program there is no library of the CUDA backend, and on most
// machines no driver.
TEST(FactoryTest, SaysWhyThereIsNoGpu) {
  const auto why = testing::AnyOf(testing::HasSubstr("no NVIDIA driver"),
                                  testing::HasSubstr("libtlin_cuda.so"));
  const auto backend = MakeBackend("auto", "f32", kShape, {});
  ASSERT_TRUE(backend.ok()) << backend.status();
  EXPECT_THAT(backend->why_cpu, why);
  EXPECT_EQ(MakeBackend("cpu", "f32", kShape, {})->why_cpu, "");
  EXPECT_THAT(MakeBackend("cuda:0", "f32", kShape, {}).status().message(), why);
}

TEST(FactoryTest, AutoIsBf16WhereTheProcessorHasTheInstructions) {
  EXPECT_EQ(AutoDType(HWY_SCALAR), DType::kF32);
  EXPECT_EQ(AutoDType(HWY_SSE4 | HWY_AVX2), DType::kF32);
  EXPECT_EQ(AutoDType(HWY_SSE4 | HWY_AVX2 | HWY_AVX3), DType::kBF16);
  EXPECT_EQ(AutoDType(HWY_SSE4 | HWY_AVX2 | HWY_AVX3 | HWY_AVX3_DL),
            DType::kBF16);
  EXPECT_EQ(AutoDType(HWY_NEON), DType::kBF16);
  EXPECT_EQ(MakeBackend("cpu", "auto", kShape, {1})->backend->dtype(),
            AutoDType(hwy::SupportedTargets()));
}

TEST(FactoryTest, NamesTheFlagThatIsWrong) {
  const auto expect = [](const absl::Status& status, absl::StatusCode code,
                         const char* flag) {
    EXPECT_EQ(status.code(), code);
    EXPECT_THAT(status.message(), testing::HasSubstr(flag));
  };
  expect(MakeBackend("gpu", "auto", kShape, {}).status(),
         absl::StatusCode::kInvalidArgument, "--device=gpu");
  expect(MakeBackend("cuda:0", "auto", kShape, {}).status(),
         absl::StatusCode::kFailedPrecondition, "--device=cuda:0");
  expect(MakeBackend("cuda:", "auto", kShape, {}).status(),
         absl::StatusCode::kInvalidArgument, "--device=cuda:");
  expect(MakeBackend("cuda:-1", "auto", kShape, {}).status(),
         absl::StatusCode::kInvalidArgument, "--device=cuda:-1");
  expect(MakeBackend("cpu", "f64", kShape, {}).status(),
         absl::StatusCode::kInvalidArgument, "--dtype=f64");
  expect(MakeBackend("cpu", "f32", kShape, {-1}).status(),
         absl::StatusCode::kInvalidArgument, "--threads=-1");
}

TEST(FactoryTest, RefusesShapesThatNoModelHas) {
  for (const BackendShape& shape :
       {BackendShape{16, 0, 32, 50, 8, 8}, BackendShape{15, 3, 32, 50, 8, 8},
        BackendShape{16, 2, 0, 50, 8, 8}, BackendShape{16, 2, 32, 50, 0, 8},
        BackendShape{0, 2, 32, 50, 8, 8}}) {
    EXPECT_EQ(MakeBackend("cpu", "f32", shape, {1}).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace tlin
