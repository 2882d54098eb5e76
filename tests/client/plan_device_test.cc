#include "client/plan_device.h"

#include <sstream>

#include "client/exit_code.h"
#include "engine/model/cost_model.h"
#include "engine/model/traffic_model.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/command_runner.h"

namespace tlin::client {
namespace {

using ::testing::HasSubstr;

PlanRequest Request(Architecture architecture) {
  PlanRequest request;
  request.config =
      LoadModelConfig(TLIN_SOURCE_DIR
                      "/deploy/models/shapes/tconst-41m/config.json")
          .value();
  request.config.architecture = architecture;
  request.contexts = {1024, 1048576};
  request.batches = {1, 64};
  return request;
}

TEST(PlanDeviceTest, TimesAreBytesOrFlopsByTheDataSheet) {
  const PlanDevice* const h100 = FindPlanDevice("h100");
  ASSERT_NE(h100, nullptr);
  const PlanRequest request = Request(Architecture::kTConstFormer);
  const auto json = DevicePlanJson(*h100, request);
  for (const auto& step : json["model"]["decode"]) {
    const Traffic traffic = DecodeTraffic(
        request.config, DType::kBF16, step["batch"], step["context_tokens"]);
    EXPECT_EQ(step["bytes"], traffic.bytes);
    EXPECT_EQ(step["seconds"],
              std::max(traffic.bytes / 3350e9, traffic.flops / 989e12));
    EXPECT_TRUE(step["fits"]);
  }
  // More bytes than all weights.
  EXPECT_GT(json["model"]["decode"][0]["bytes"],
            WeightBytes(request.config, DType::kBF16));
  const double room =
      80e9 - (1 << 30) -
      static_cast<double>(WeightBytes(request.config, DType::kBF16));
  EXPECT_EQ(
      json["model"]["contexts"][0]["sessions"],
      static_cast<int64_t>(room / static_cast<double>(SlotBytes(
                                      request.config, DType::kBF16, 1024))));
}

TEST(PlanDeviceTest, AConstantStateCostsTheSameAtAMillionTokens) {
  const auto json = DevicePlanJson(*FindPlanDevice("a100"),
                                   Request(Architecture::kTConstFormer));
  const auto& steps = json["model"]["decode"];  // by context, then batch
  EXPECT_EQ(steps[0]["bytes"], steps[2]["bytes"]);
  const auto& paged = json["paged_transformer"]["decode"];
  EXPECT_GT(paged[2]["bytes"], 100 * paged[0]["bytes"].get<double>());
  EXPECT_FALSE(paged[3]["fits"]);
  // What is left out of a step comes with the syncs.
  EXPECT_GT(steps[2]["seconds_with_syncs"],
            2 * steps[2]["seconds"].get<double>());
  EXPECT_EQ(paged[0]["seconds_with_syncs"], paged[0]["seconds"]);
}

TEST(PlanDeviceTest, WhatDoesNotFitIsSaid) {
  std::ostringstream out;
  PrintDevicePlan(*FindPlanDevice("l4"), Request(Architecture::kTLinFormer),
                  out);
  EXPECT_THAT(out.str(), HasSubstr("l4 by its data sheet: 300 GB/s"));
  EXPECT_THAT(out.str(), HasSubstr("no room"));
}

TEST(PlanDeviceTest, FlagsAreNamed) {
  CommandRunner runner;
  const std::string model = std::string("--model=") + TLIN_SOURCE_DIR +
                            "/deploy/models/shapes/tconst-7b";
  EXPECT_EQ(runner.Run(RunPlan, {model, "--device=tpu"}), kExitUsage);
  EXPECT_THAT(runner.err.str(),
              HasSubstr("--device: want one of a100, b200, h100, h200, l4, "
                        "rtx4090, not 'tpu'"));
  EXPECT_EQ(runner.Run(RunPlan, {model, "--device=h100", "--batches=0"}),
            kExitUsage);
  EXPECT_THAT(runner.err.str(), HasSubstr("--batches: 0 is below 1"));
  EXPECT_EQ(runner.Run(RunPlan, {model, "--device=h100", "--json"}), kExitOk);
  EXPECT_THAT(runner.out.str(), HasSubstr("\"paged_transformer\""));
}

}  // namespace
}  // namespace tlin::client
