// How often the CUDA backend records, launches, allocates and waits.
#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "tests/cuda_emulation/control.h"
#include "tests/testing/model_driver.h"
#include "tests/testing/seeded_weights.h"

namespace tlin {
namespace {

using cuda_emulation::Counts;
using cuda_emulation::DeviceCounts;

class CudaGraphTest : public ::testing::Test {
 protected:
  void SetUp() override {
    config_.architecture = Architecture::kTConstFormer;
    config_.n_embd = 16;
    config_.n_head = 2;
    config_.n_block = 2;
    config_.block_depth = 2;
    config_.vocab_size = 50;
    config_.history_window = 4;
    config_.generation_window = 40;
    ModelOptions options;
    options.slots = 12;
    options.max_context_tokens = 1000;
    model_ = MakeSeededModel(config_, 1, options, DType::kBF16);
    for (SlotId slot = 0; slot < 12; ++slot) model_->Open(slot, 1000);
  }
  void TearDown() override { cuda_emulation::ResetDevice(); }

  absl::Status Decode(int rows, std::vector<TokenId>* tokens = nullptr) {
    static constexpr TokenId kToken = 7;
    StepPlan plan;
    for (SlotId slot = 0; slot < rows; ++slot) {
      plan.decode.push_back(
          {slot, absl::MakeConstSpan(&kToken, 1), WindowRows::Logits::kSample});
      plan.samples.emplace_back().sampling.temperature = 0;
    }
    StepOutput output;
    const absl::Status status = model_->Run(plan, &output);
    if (tokens != nullptr) {
      for (const SampledToken& token : output.tokens) {
        tokens->push_back(token.token);
      }
    }
    return status;
  }

  ModelConfig config_;
  std::unique_ptr<Model> model_;
};

TEST_F(CudaGraphTest, AStepIsOneLaunchAndNothingIsAllocated) {
  ASSERT_TRUE(Decode(9).ok());
  ASSERT_TRUE(Decode(3).ok());
  const Counts before = DeviceCounts();
  // 9 and 10 are both run as 10.
  for (const int rows : {9, 10, 3, 9, 10}) ASSERT_TRUE(Decode(rows).ok());
  const Counts after = DeviceCounts();
  EXPECT_EQ(after.captures, before.captures);
  EXPECT_EQ(after.graph_launches - before.graph_launches, 5);
  EXPECT_EQ(after.allocations, before.allocations);
  // One a lane.
  EXPECT_EQ(after.synchronizations - before.synchronizations, 5 * 2);
}

TEST_F(CudaGraphTest, AGraphOfWhichAPartIsMissingIsNeverRun) {
  std::vector<TokenId> tokens, expected;
  ASSERT_TRUE(Decode(4, &expected).ok());
  for (SlotId slot = 0; slot < 6; ++slot) {
    model_->Close(slot);
    model_->Open(slot, 1000);
  }
  // While the step for six is recorded.
  cuda_emulation::FailLaunch(9);
  EXPECT_FALSE(Decode(6).ok());
  for (SlotId slot = 0; slot < 6; ++slot) {
    model_->Close(slot);
    model_->Open(slot, 1000);
  }
  const Counts before = DeviceCounts();
  ASSERT_TRUE(Decode(6, &tokens).ok());
  EXPECT_EQ(DeviceCounts().graph_launches, before.graph_launches);
  for (const TokenId token : tokens) EXPECT_EQ(token, expected[0]);
}

}  // namespace
}  // namespace tlin
