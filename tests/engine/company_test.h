// A request through the engine and the real model, alone and among others that
// sync, fill and decode meanwhile: the same bits. For every device: each says
// which cases it has the time for.
#ifndef TLIN_TESTS_ENGINE_COMPANY_TEST_H_
#define TLIN_TESTS_ENGINE_COMPANY_TEST_H_

#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/model_loop.h"
#include "tests/testing/recording_listener.h"
#include "tests/testing/recording_sink.h"

namespace tlin {

// How many others there are.
using CompanyCase = std::tuple<Architecture, DType, int>;

class CompanyTest : public ::testing::TestWithParam<CompanyCase> {
 protected:
  static Request Make(int64_t prompt, int32_t max_new, uint64_t seed) {
    Request request;
    request.id = absl::StrCat("request-", seed);
    request.prompt = SeededTokens(seed, prompt, 300);
    request.stopping.max_new_tokens = max_new;
    request.sampling.seed = seed;
    request.sampling.temperature = 1.5f;
    request.output.logprobs = 128;
    return request;
  }

  // What request `it` reads, its neighbours' prompts being of many lengths.
  std::vector<TokenLogprobs> Read(const Request& it, int others,
                                  int64_t step_units) {
    const auto [architecture, dtype, company] = GetParam();
    RecordingListener listener;
    ModelLoop loop(LoopConfig(architecture), dtype, step_units, &listener);
    for (int i = 0; i < others / 2; ++i) {
      loop.Submit(Make(1 + 13 * i, 90, 100 + static_cast<uint64_t>(i)),
                  std::make_shared<RecordingSink>());
      loop.Step();
    }
    auto sink = std::make_shared<RecordingSink>();
    loop.Submit(it, sink);
    for (int i = others / 2; i < others; ++i) {
      loop.Submit(Make(1 + 29 * i, 90, 100 + static_cast<uint64_t>(i)),
                  std::make_shared<RecordingSink>());
    }
    int64_t beside_sync = 0;
    while (!sink->ended()) {
      const size_t before = sink->token_ids().size();
      const bool syncing = loop.model().syncs_in_flight() > 0;
      loop.Step();
      beside_sync += syncing && sink->token_ids().size() > before;
    }
    if (others == company && step_units == 1 &&
        architecture != Architecture::kTransformer) {
      EXPECT_GT(beside_sync, 10) << "it decodes beside others' syncs";
    }
    // What the others would still say is nobody's concern.
    for (int i = 0; i < others; ++i) {
      loop.Cancel(Make(1, 1, 100 + static_cast<uint64_t>(i)).id);
    }
    while (loop.busy()) loop.Step();
    return sink->logprobs();
  }
};

TEST_P(CompanyTest, ARequestReadsTheSameAloneAndAmongOthers) {
  // Its history is of several tiles.
  const Request it = Make(331, 60, 7);
  const int company = std::get<2>(GetParam());
  const std::vector<TokenLogprobs> alone = Read(it, 0, 1000);
  ASSERT_EQ(alone.size(), 60u);
  for (const auto& [others, step_units] : std::vector<std::pair<int, int64_t>>{
           {0, 1}, {company, 1}, {company, 1000}}) {
    const std::vector<TokenLogprobs> among = Read(it, others, step_units);
    ASSERT_EQ(among.size(), alone.size());
    for (size_t i = 0; i < alone.size(); ++i) {
      ASSERT_EQ(among[i].token_id, alone[i].token_id) << i;
      ASSERT_EQ(among[i].logprob, alone[i].logprob) << i;
      ASSERT_EQ(among[i].top.size(), 128u);
      for (size_t k = 0; k < 128; ++k) {
        ASSERT_EQ(among[i].top[k].token_id, alone[i].top[k].token_id);
        ASSERT_EQ(among[i].top[k].logprob, alone[i].top[k].logprob);
      }
    }
  }
}

inline std::string CompanyName(
    const ::testing::TestParamInfo<CompanyCase>& info) {
  return absl::StrCat(ArchitectureName(std::get<0>(info.param)), "_",
                      DTypeName(std::get<1>(info.param)));
}

}  // namespace tlin

#endif  // TLIN_TESTS_ENGINE_COMPANY_TEST_H_
