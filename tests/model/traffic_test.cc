// The closed forms of what a step and a sync move, against what the emulated
// kernels touch.
#include "tests/cuda_emulation/traffic.h"

#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "engine/model/traffic_model.h"
#include "gtest/gtest.h"
#include "tests/cuda_emulation/control.h"
#include "tests/testing/model_driver.h"
#include "tests/testing/seeded_weights.h"

namespace tlin {
namespace {

using cuda_emulation::StartTraffic;
using cuda_emulation::TrafficSinceStart;

// Descriptors of rows, positions and places are in no form.
constexpr double kTolerance = 0.01;

void ExpectNear(const cuda_emulation::Traffic& counted, const Traffic& form) {
  EXPECT_NEAR(static_cast<double>(counted.total()) / form.bytes, 1, kTolerance)
      << "read " << counted.read_bytes << ", written " << counted.written_bytes
      << ", products " << counted.product_bytes << ", copied "
      << counted.copied_bytes << ", form " << form.bytes;
  // What is not in products is attention.
  EXPECT_LE(counted.product_flops, form.flops * 1.0001);
  EXPECT_GT(counted.product_flops, form.flops * 0.5);
}

class TrafficTest
    : public ::testing::TestWithParam<std::tuple<Architecture, DType>> {
 protected:
  void SetUp() override {
    cuda_emulation::SetDeviceMemory(size_t{256} << 20);
    config_.architecture = std::get<0>(GetParam());
    config_.n_embd = 96;
    config_.n_head = 2;
    config_.vocab_size = 700;
    if (config_.architecture == Architecture::kTransformer) {
      config_.n_layer = 3;
    } else {
      config_.n_block = 2;
      config_.block_depth = 3;
      config_.history_window = 64;
      config_.generation_window = 80;
    }
    options_.slots = 4;
    options_.max_context_tokens = 2000;
    options_.history_tokens = 4000;
    options_.max_syncs = 1;
    model_ = MakeSeededModel(config_, 3, options_, std::get<1>(GetParam()));
  }

  ModelConfig config_;
  ModelOptions options_;
  std::unique_ptr<Model> model_;
};

TEST_P(TrafficTest, OfADecodeStep) {
  const auto tokens = SeededTokens(1, 1000, config_.vocab_size);
  struct Step {
    int64_t context;
    int64_t batch;
  };
  for (const auto& [context, batch] :
       {Step{40, 4}, Step{600, 1}, Step{600, 3}}) {
    std::vector<std::unique_ptr<SequenceDriver>> sequences;
    StepPlan plan;
    for (SlotId slot = 0; slot < batch; ++slot) {
      sequences.push_back(
          std::make_unique<SequenceDriver>(model_.get(), slot, 900));
      sequences.back()->Feed(absl::MakeConstSpan(tokens).first(context - 1));
      plan.decode.push_back({slot,
                             {&tokens[slot * 100], 1},
                             WindowRows::Logits::kSample,
                             sequences.back()->history()});
      plan.samples.emplace_back().sampling.temperature = 0;
    }
    StartTraffic();
    StepOutput output;
    ASSERT_TRUE(model_->Run(plan, &output).ok());
    // Of such a window, and what is history behind it.
    const StateExtent extent = model_->Extent(0);
    ModelConfig config = config_;
    if (config.has_windows()) {
      config.generation_window = static_cast<int32_t>(extent.window_tokens);
    }
    SCOPED_TRACE(testing::Message() << context << " x " << batch);
    ExpectNear(TrafficSinceStart(),
               DecodeTraffic(config, std::get<1>(GetParam()), batch, context));
  }
}

TEST_P(TrafficTest, OfASync) {
  if (!config_.has_windows()) return;
  const auto tokens = SeededTokens(1, 1000, config_.vocab_size);
  for (const int64_t history : {80, 560}) {
    model_->Open(0, 1000);
    model_->BeginSync(0, absl::MakeConstSpan(tokens).first(history));
    StepPlan plan;
    plan.sync.push_back({0, int64_t{1} << 50});
    StartTraffic();
    StepOutput output;
    ASSERT_TRUE(model_->Run(plan, &output).ok());
    SCOPED_TRACE(history);
    ExpectNear(TrafficSinceStart(),
               SyncTraffic(config_, std::get<1>(GetParam()), history));
    model_->Close(0);
  }
}

TEST_P(TrafficTest, OfAPrompt) {
  constexpr int64_t kPrompt = 500;
  const auto tokens = SeededTokens(1, kPrompt, config_.vocab_size);
  const int64_t window = config_.has_windows() ? config_.generation_window : 0;
  const int64_t history = window == 0 ? 0 : (kPrompt - 1) / window * window;
  model_->Open(0, 1000);
  StartTraffic();
  StepOutput output;
  if (history > 0) {
    model_->BeginSync(0, absl::MakeConstSpan(tokens).first(history));
    StepPlan plan;
    plan.sync.push_back({0, int64_t{1} << 50});
    ASSERT_TRUE(model_->Run(plan, &output).ok());
  }
  for (int64_t at = history; at < kPrompt; at += 256) {
    const auto part = absl::MakeConstSpan(tokens).subspan(at, 256);
    const bool last = at + 256 >= kPrompt;
    StepPlan plan;
    plan.fill.push_back(
        {0, part,
         last ? WindowRows::Logits::kSample : WindowRows::Logits::kNone,
         absl::MakeConstSpan(tokens).first(history)});
    if (last) plan.samples.emplace_back().sampling.temperature = 0;
    ASSERT_TRUE(model_->Run(plan, &output).ok());
  }
  ExpectNear(TrafficSinceStart(),
             PromptTraffic(config_, std::get<1>(GetParam()), kPrompt));
  model_->Close(0);
}

INSTANTIATE_TEST_SUITE_P(
    Architectures, TrafficTest,
    // In f32 an emulated GPU is slow: one will do.
    ::testing::Values(std::tuple(Architecture::kTLinFormer, DType::kBF16),
                      std::tuple(Architecture::kTConstFormer, DType::kBF16),
                      std::tuple(Architecture::kTransformer, DType::kBF16),
                      std::tuple(Architecture::kTConstFormer, DType::kF32)),
    [](const auto& info) {
      return std::string(ArchitectureName(std::get<0>(info.param))) + "_" +
             DTypeName(std::get<1>(info.param));
    });

}  // namespace
}  // namespace tlin
