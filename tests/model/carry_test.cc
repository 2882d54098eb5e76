// A tlinformer's compress attention is carried from sync to sync: the bits of
// attention made anew, and work that does not grow.
#include <algorithm>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/testing/model_driver.h"
#include "tests/testing/seeded_weights.h"

namespace tlin {
namespace {

constexpr int64_t kLength = 1500;

ModelConfig Config(int32_t blocks, int32_t history_window,
                   int32_t generation_window, bool derived_history = false) {
  ModelConfig config;
  config.architecture = Architecture::kTLinFormer;
  config.vocab_size = 97;
  config.n_embd = 72;
  config.n_head = 2;
  config.n_block = blocks;
  config.block_depth = 3;
  config.history_window = history_window;
  config.generation_window = generation_window;
  config.derived_history = derived_history;
  return config;
}

ModelOptions Options(int64_t max_context_tokens) {
  ModelOptions options;
  options.slots = 3;
  options.max_context_tokens = max_context_tokens;
  options.history_tokens = 3 * (max_context_tokens + 256);
  return options;
}

// W_oh and W_og: either the larger one, within a tile and beyond, and "auto".
using Windows = std::pair<int32_t, int32_t>;

class CarryTest : public ::testing::TestWithParam<
                      std::tuple<Windows, int32_t, DType, bool>> {
 protected:
  CarryTest()
      : window_(std::get<0>(GetParam()).second),
        model_(MakeSeededModel(
            Config(std::get<1>(GetParam()), std::get<0>(GetParam()).first,
                   window_, std::get<3>(GetParam())),
            3, Options(kLength), std::get<2>(GetParam()))),
        tokens_(SeededTokens(5, kLength, 97)) {}

  absl::Span<const TokenId> Tokens(int64_t first, int64_t end) const {
    return absl::MakeConstSpan(tokens_).subspan(first, end - first);
  }
  // Up to `end`, each window by itself, in parts.
  std::vector<float> FeedTo(int64_t end, SequenceDriver* sequence) const {
    std::vector<float> logits;
    while (sequence->tokens() < end) {
      const int64_t at = sequence->tokens();
      const int64_t border = (at / window_ + 1) * window_;
      logits = sequence->Feed(
          Tokens(at, std::min({end, border, at + window_ / 3 + 1})));
    }
    return logits;
  }
  // One sync, of nothing that was carried.
  std::vector<float> Cold(int64_t end) const {
    return SequenceDriver(model_.get(), 2, kLength).Feed(Tokens(0, end));
  }

  const int64_t window_;
  const std::unique_ptr<Model> model_;
  const std::vector<TokenId> tokens_;
};

TEST_P(CarryTest, HasTheBitsOfAttentionMadeAnew) {
  SequenceDriver sequence(model_.get(), 0, kLength);
  for (int64_t end = 1; end + window_ < kLength; end += window_ + 7) {
    EXPECT_EQ(FeedTo(end, &sequence), Cold(end)) << end;
  }
}

TEST_P(CarryTest, AStateThatWasLoadedGoesOn) {
  for (const int64_t at : {3 * window_, 5 * window_ + window_ / 2}) {
    if (at + 4 * window_ > kLength) continue;
    SequenceDriver stays(model_.get(), 0, kLength);
    FeedTo(at, &stays);
    SequenceDriver loaded(model_.get(), 1, kLength);
    loaded.Load(Tokens(0, at), model_->Extent(0), stays.Save());
    for (int64_t end = at + 1; end <= at + 4 * window_; end += window_ / 2) {
      const std::vector<float> expected = FeedTo(end, &stays);
      EXPECT_EQ(FeedTo(end, &loaded), expected) << end;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, CarryTest,
    ::testing::Combine(::testing::Values(Windows{24, 32}, Windows{96, 40},
                                         Windows{40, 96}, Windows{300, 256},
                                         Windows{200, 280}, Windows{0, 64}),
                       ::testing::Values(1, 2),
                       ::testing::Values(DType::kF32, DType::kBF16),
                       ::testing::Bool()),
    [](const auto& info) {
      const Windows windows = std::get<0>(info.param);
      return absl::StrCat("History", windows.first, "Generation",
                          windows.second, "Blocks", std::get<1>(info.param),
                          "_", DTypeName(std::get<2>(info.param)),
                          std::get<3>(info.param) ? "_derived" : "");
    });

// Of the sync that the next token needs, after so many tokens.
SyncWork NextSync(const ModelConfig& config, int64_t tokens) {
  const auto model =
      MakeSeededModel(config, 3, Options(tokens + config.generation_window));
  const std::vector<TokenId> ids = SeededTokens(5, tokens, config.vocab_size);
  SequenceDriver sequence(model.get(), 0, tokens);
  const int64_t window = config.generation_window;
  sequence.Feed(absl::MakeConstSpan(ids).first(tokens - 2 * window));
  sequence.Feed(absl::MakeConstSpan(ids).subspan(tokens - 2 * window, window));
  sequence.Feed(absl::MakeConstSpan(ids).subspan(tokens - window, window));
  model->BeginSync(0, ids);
  return model->SyncWorkLeft(0);
}

TEST(CarriedWorkTest, OfOneBlockIsTheSameAtAnyLength) {
  for (const auto& [history, generation] :
       std::vector<Windows>{{64, 64}, {128, 256}, {256, 128}}) {
    ModelConfig config = Config(1, history, generation);
    // Units are millions.
    config.n_embd = 288;
    for (const bool derived : {true, false}) {
      config.derived_history = derived;
      const SyncWork at_2k = NextSync(config, 2048);
      EXPECT_GT(at_2k.attention, 0);
      EXPECT_EQ(NextSync(config, 8192), at_2k) << history << " " << generation;
    }
    // Of more blocks the others' attention grows.
    config.n_block = 2;
    EXPECT_GT(NextSync(config, 8192).total(),
              3 * NextSync(config, 2048).total());
  }
}

}  // namespace
}  // namespace tlin
