// A warm step of the whole engine over the real model takes nothing from the
// heap: not to plan, run, sample, decode text, look for stop strings or send. A
// binary of its own: it replaces operator new.
//
// What does take memory, outside this test: a request's arrival and its end; a
// sequence's token ids when they outgrow the room made at admission; a chunk's
// text when it is longer than any of its sequence before; the penalties' table
// when a token is new to it; log-probabilities, where asked for.
#include <memory>
#include <string>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/engine/model_loop.h"
#include "tests/testing/allocation_counter.h"
#include "tests/testing/tiny_tokenizer.h"

namespace tlin {
namespace {

class QuietSink final : public TokenSink {
 public:
  void OnStarted(const Started&) override {}
  void OnChunk(const Chunk& chunk) override {
    tokens += static_cast<int64_t>(chunk.token_ids.size());
    bytes += static_cast<int64_t>(chunk.text.size());
  }
  void OnFinished(const Finished&) override { ended = true; }
  void OnError(const absl::Status&) override { ended = true; }

  int64_t tokens = 0;
  int64_t bytes = 0;
  bool ended = false;
};

class QuietListener final : public EngineListener {
 public:
  void OnStep(const StepStats& stats) override {
    slices += stats.sync_slices;
    rows += stats.decode_rows;
  }
  void OnState(const EngineState&) override {}
  void OnAdmitted(absl::Duration, int64_t) override {}
  void OnFirstToken(absl::Duration) override {}
  void OnToken(absl::Duration) override {}
  void OnSync(absl::Duration, int64_t) override {}
  void OnCacheHits(int64_t) override {}
  void OnStoreOperation(ShelfResult::Operation, absl::Duration, bool) override {
  }
  void OnRequestEnd(const RequestEnd&) override {}

  int64_t slices = 0;
  int64_t rows = 0;
};

// Token i is a word of 30 letters: longer than a small string holds.
TinyTokenizer Words() {
  std::vector<std::string> words;
  for (size_t i = 0; i < 300; ++i) {
    words.push_back(std::string(30, static_cast<char>('a' + i % 4)));
  }
  return TinyTokenizer(words);
}

class LoopAllocationTest : public ::testing::TestWithParam<Architecture> {};

TEST_P(LoopAllocationTest, AStepTakesNothingFromTheHeap) {
  const TinyTokenizer tokenizer = Words();
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    QuietListener listener;
    ModelLoop loop(LoopConfig(GetParam()), dtype, 20, &listener, &tokenizer);
    std::vector<std::shared_ptr<QuietSink>> sinks;
    for (uint64_t i = 0; i < 12; ++i) {
      Request request;
      request.id = absl::StrCat("request-", i);
      request.prompt = SeededTokens(i, 3 + 20 * static_cast<int64_t>(i), 300);
      request.stopping.max_new_tokens = 1000;
      request.stopping.ignore_eos = true;
      // Begun by every fourth word, and never said.
      if (i % 3 != 0) request.stopping.stop = {"aQ", "aaQ"};
      request.stopping.min_new_tokens = static_cast<int32_t>(50 * (i % 2));
      request.sampling.seed = i;
      request.sampling.temperature = i % 3 == 0 ? 0.0f : 1.0f;
      if (i % 4 == 1) request.sampling.top_k = 40;
      if (i % 4 == 2) request.sampling.top_p = 0.9f;
      if (i % 4 == 3) request.sampling.min_p = 0.01f;
      sinks.push_back(std::make_shared<QuietSink>());
      loop.Submit(std::move(request), sinks.back());
    }
    // Warm: every part of a step has run, syncs too.
    const auto warm = [&sinks] {
      return absl::c_all_of(
          sinks, [](const auto& sink) { return sink->tokens > 100; });
    };
    for (int i = 0; i < 5000 && !warm(); ++i) loop.Step();
    ASSERT_TRUE(warm());
    const int64_t slices = listener.slices, rows = listener.rows;
    const int64_t before = AllocationCount();
    for (int i = 0; i < 200; ++i) loop.Step();
    EXPECT_EQ(AllocationCount() - before, 0);
    EXPECT_GT(listener.rows - rows, 200);
    if (GetParam() != Architecture::kTransformer) {
      EXPECT_GT(listener.slices - slices, 20) << "syncs were among them";
    }
    for (const auto& sink : sinks) {
      EXPECT_GT(sink->bytes, sink->tokens);
      EXPECT_FALSE(sink->ended);
    }
    while (loop.busy()) loop.Step();
  }
}

INSTANTIATE_TEST_SUITE_P(Architectures, LoopAllocationTest,
                         ::testing::Values(Architecture::kTLinFormer,
                                           Architecture::kTConstFormer,
                                           Architecture::kTransformer),
                         [](const auto& info) {
                           return std::string(ArchitectureName(info.param));
                         });

}  // namespace
}  // namespace tlin
