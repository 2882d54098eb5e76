// What the CUDA backend does where the GPU fails, and what it never does.
#include <cuda_runtime_api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "engine/backend/cuda/cuda_backend.h"
#include "tests/backend/backend_fixture.h"
#include "tests/cuda_emulation/control.h"

namespace tlin {
namespace {

using ::testing::HasSubstr;

constexpr BackendShape kShape = {32, 2, 64, 50, 40, 8, 20};

size_t FreeBytes() {
  size_t free = 0;
  size_t total = 0;
  EXPECT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
  return free;
}

class CudaFaultsTest : public testing::Test {
 protected:
  void SetUp() override { before_ = FreeBytes(); }
  void TearDown() override {
    cuda_emulation::ResetDevice();
    cuda_emulation::SetDeviceCount(1);
    EXPECT_EQ(FreeBytes(), before_) << "all is given back";
  }

  static absl::StatusOr<std::unique_ptr<Backend>> Make(int device = 0) {
    return cuda::CudaBackend::Create(device, DType::kBF16, kShape);
  }
  static std::unique_ptr<Linear> MakeTable(Backend* backend) {
    const std::vector<float> floats(50 * 32, 0.5f);
    const HostMatrix view = {floats.data(), DType::kF32, 50, 32};
    return backend->MakeLinear({&view, 1}, {}).value();
  }

  size_t before_ = 0;
};

TEST_F(CudaFaultsTest, AMachineWithoutAGpu) {
  EXPECT_GT(cuda::CudaBackend::FreeBytes(0).value(), 0);
  EXPECT_EQ(cuda::CudaBackend::FreeBytes(1).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Make(1).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Make(1).status().message(),
              HasSubstr("there is no GPU 1: this machine has 1"));
  cuda_emulation::SetDeviceCount(0, cudaErrorInsufficientDriver);
  EXPECT_EQ(Make().status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Make().status().message(),
              HasSubstr("cudaErrorInsufficientDriver"));
}

TEST_F(CudaFaultsTest, AHeadThatIsTooWide) {
  const BackendShape wide = {516, 2, 64, 50, 40, 8, 20};
  const auto made = cuda::CudaBackend::Create(0, DType::kF32, wide);
  EXPECT_EQ(made.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(made.status().message(), HasSubstr("a head of 258 elements"));
}

// Each allocation in turn.
TEST_F(CudaFaultsTest, NoMemoryAtAnyMoment) {
  int failed = 0;
  for (bool made = false; !made; ++failed) {
    cuda_emulation::FailAllocation(failed + 1);
    const auto backend = Make();
    made = backend.ok();
    if (made) continue;
    EXPECT_EQ(backend.status().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(backend.status().message(), HasSubstr("the GPU has no "));
  }
  EXPECT_GT(failed, 5);
  cuda_emulation::ResetDevice();
  cuda_emulation::FailPinnedAllocation(1);
  EXPECT_EQ(Make().status().code(), absl::StatusCode::kResourceExhausted);
  cuda_emulation::ResetDevice();
  const auto backend = Make().value();
  cuda_emulation::FailAllocation(1);
  EXPECT_EQ(backend->Allocate(100).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(backend->Allocate(100).ok()) << "it was that one alone";
}

TEST_F(CudaFaultsTest, AFailedLaunchIsToldOnce) {
  const auto backend = Make().value();
  const auto table = MakeTable(backend.get());
  const auto x = backend->Allocate(3 * 32 * 4).value();
  const Rows rows = {reinterpret_cast<float*>(x->data()), 3};
  const std::vector<TokenId> ids = {1, 2, 3};
  cuda_emulation::FailLaunch(1);
  backend->Embed(*table, ids, rows);
  const absl::Status status = backend->Synchronize();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(status.message(), HasSubstr("embedding: "));
  backend->Embed(*table, ids, rows);
  EXPECT_TRUE(backend->Synchronize().ok());
}

TEST_F(CudaFaultsTest, ALostDeviceIsToldEveryTime) {
  const auto backend = Make().value();
  const auto table = MakeTable(backend.get());
  const auto x = backend->Allocate(3 * 32 * 4).value();
  const Rows rows = {reinterpret_cast<float*>(x->data()), 3};
  cuda_emulation::FailExecution(1);
  for (int step = 0; step < 3; ++step) {
    backend->Embed(*table, {{1, 2, 3}}, rows);
    const absl::Status status = backend->Synchronize();
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
    EXPECT_THAT(status.message(), HasSubstr("cudaErrorIllegalAddress"));
  }
}

// More arrays than the buffer for them has room for: it waits in between, and
// no operation gets another's.
TEST_F(CudaFaultsTest, ArraysOfManyOperations) {
  constexpr int32_t kRows = 8;
  const auto backend =
      cuda::CudaBackend::Create(0, DType::kF32, {32, 2, 64, 50, kRows, kRows})
          .value();
  std::vector<float> floats(50 * 32);
  std::iota(floats.begin(), floats.end(), 0.0f);
  for (float& value : floats) value = static_cast<int>(value) / 32;
  const HostMatrix view = {floats.data(), DType::kF32, 50, 32};
  const auto table = backend->MakeLinear({&view, 1}, {}).value();
  const auto x = backend->Allocate(kRows * 32 * 4).value();
  const int64_t waits = cuda_emulation::DeviceCounts().synchronizations;
  const int operations = 5000;  // of 32 bytes
  for (int i = 0; i < operations; ++i) {
    const std::vector<TokenId> ids(kRows, i % 50);
    backend->Embed(*table, ids, {reinterpret_cast<float*>(x->data()), kRows});
  }
  ASSERT_TRUE(backend->Synchronize().ok());
  EXPECT_GT(cuda_emulation::DeviceCounts().synchronizations, waits + 1);
  std::vector<float> last(kRows * 32);
  ASSERT_EQ(cudaMemcpy(last.data(), x->data(), last.size() * sizeof(float),
                       cudaMemcpyDeviceToHost),
            cudaSuccess);
  EXPECT_EQ(last, std::vector<float>(kRows * 32, (operations - 1) % 50));
}

}  // namespace
}  // namespace tlin
