// A request that takes a shared state, over the real model: the bits of a cold
// run.
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/engine/model_loop.h"
#include "tests/testing/recording_listener.h"
#include "tests/testing/recording_sink.h"

namespace tlin {
namespace {

class SharedStateTest
    : public ::testing::TestWithParam<std::tuple<Architecture, DType, bool>> {};

TEST_P(SharedStateTest, HitsHaveTheBitsOfAColdRun) {
  const auto [architecture, dtype, derived_history] = GetParam();
  RecordingListener listener;
  // Greedy, so that the windows that are made are the same as well.
  const auto read = [&](ModelLoop* loop, const std::string& id) {
    Request request;
    request.id = id;
    request.prompt = SeededTokens(7, 331, 300);
    request.stopping.max_new_tokens = 60;
    request.sampling.temperature = 0;
    request.output.logprobs = 128;
    auto sink = std::make_shared<RecordingSink>();
    loop->Submit(std::move(request), sink);
    return sink;
  };
  ModelLoop cold(LoopConfig(architecture), dtype, 50, &listener);
  const auto expected = read(&cold, "cold");
  while (cold.busy() || !expected->ended()) cold.Step();
  ModelConfig config = LoopConfig(architecture);
  config.derived_history = derived_history;
  ModelLoop warm(config, dtype, 50, &listener, nullptr, int64_t{64} << 20);
  const auto first = read(&warm, "first");
  const auto beside = read(&warm, "beside");
  while (warm.busy() || !first->ended()) warm.Step();
  const auto later = read(&warm, "later");
  while (warm.busy() || !later->ended()) warm.Step();

  EXPECT_EQ(first->finished()->usage.cached_tokens, 0);
  EXPECT_EQ(first->finished()->usage.syncs, 3);
  for (const auto& sink : {beside, later}) {
    EXPECT_EQ(sink->finished()->usage.cached_tokens, 320);
    EXPECT_EQ(sink->finished()->usage.syncs, 0);
  }
  for (const auto& sink : {first, beside, later}) {
    const auto got = sink->logprobs(), want = expected->logprobs();
    ASSERT_EQ(got.size(), 60u);
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_EQ(got[i].token_id, want[i].token_id) << i;
      ASSERT_EQ(got[i].logprob, want[i].logprob) << i;
      for (size_t k = 0; k < 128; ++k) {
        ASSERT_EQ(got[i].top[k].token_id, want[i].top[k].token_id);
        ASSERT_EQ(got[i].top[k].logprob, want[i].top[k].logprob);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, SharedStateTest,
    ::testing::Combine(::testing::Values(Architecture::kTLinFormer,
                                         Architecture::kTConstFormer),
                       ::testing::Values(DType::kF32, DType::kBF16),
                       ::testing::Bool()),
    [](const auto& info) {
      return absl::StrCat(ArchitectureName(std::get<0>(info.param)), "_",
                          DTypeName(std::get<1>(info.param)),
                          std::get<2>(info.param) ? "_derived" : "");
    });

}  // namespace
}  // namespace tlin
