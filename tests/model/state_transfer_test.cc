// A state that goes through host memory is the state that stayed.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "engine/backend/kv_block.h"
#include "engine/model/cost_model.h"
#include "tests/testing/model_driver.h"
#include "tests/testing/random_config.h"
#include "tests/testing/seeded_weights.h"

namespace tlin {
namespace {

ModelOptions Options(int32_t slots, int64_t max_context_tokens) {
  ModelOptions options;
  options.slots = slots;
  options.max_context_tokens = max_context_tokens;
  options.history_tokens = 20'000;
  return options;
}

class StateTransferTest : public testing::TestWithParam<uint32_t> {
 protected:
  StateTransferTest()
      : config_(RandomConfig(GetParam())),
        window_(config_.has_windows() ? config_.generation_window : 16),
        tokens_(SeededTokens(GetParam(), 5 * window_ + 300 + 3,
                             config_.vocab_size)) {}

  absl::Span<const TokenId> Tokens(int64_t first, int64_t end) const {
    return absl::MakeConstSpan(tokens_).subspan(first, end - first);
  }
  // Lengths at each part of a window: the first one, right before and after a
  // sync, in the middle; and histories of more than a tile.
  std::vector<int64_t> Lengths() const {
    const int64_t far = (300 + window_ - 1) / window_ * window_;
    std::vector<int64_t> lengths = {
        1,   window_, window_ + 1,       2 * window_,
        far, far + 1, far + window_ / 2, far + window_};
    return lengths;
  }

  const ModelConfig config_;
  const int64_t window_;
  const std::vector<TokenId> tokens_;
};

TEST_P(StateTransferTest, AnotherModelGoesOnWithTheSameBits) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const auto here =
        MakeSeededModel(config_, GetParam(), Options(3, 1000), dtype);
    // Another number of slots, another layout of each, another core.
    const auto there =
        MakeSeededModel(config_, GetParam(), Options(2, 3000), dtype, 1);
    for (const int64_t length : Lengths()) {
      SequenceDriver stays(here.get(), 1, 1000);
      stays.Feed(Tokens(0, length));
      const std::vector<std::byte> state = stays.Save();
      SequenceDriver moved(there.get(), 0, 1000);
      moved.Load(Tokens(0, length), here->Extent(1), state);
      EXPECT_EQ(there->Extent(0), here->Extent(1));
      EXPECT_EQ(moved.Save(), state);
      // Over two syncs.
      int64_t fed = length;
      for (const int64_t more :
           {int64_t{1}, window_ - 1, int64_t{1}, window_}) {
        ASSERT_EQ(moved.Feed(Tokens(fed, fed + more)),
                  stays.Feed(Tokens(fed, fed + more)))
            << DTypeName(dtype) << ", " << length << " tokens, then at " << fed;
        fed += more;
      }
      EXPECT_EQ(moved.Save(), stays.Save());
    }
  }
}

TEST_P(StateTransferTest, NothingOfFormerSequencesIsInAState) {
  const auto model = MakeSeededModel(config_, GetParam(), Options(2, 1000));
  const int64_t length = window_ + 1;
  SequenceDriver fresh(model.get(), 0, 1000);
  fresh.Feed(Tokens(0, length));
  {
    SequenceDriver former(model.get(), 1, 1000);
    former.Feed(Tokens(7, 7 + 4 * window_));
  }
  SequenceDriver later(model.get(), 1, 1000);
  later.Feed(Tokens(0, length));
  EXPECT_EQ(later.Save(), fresh.Save());
}

TEST_P(StateTransferTest, TheSizeIsAClosedForm) {
  const auto model = MakeSeededModel(config_, GetParam(), Options(2, 1000));
  SequenceDriver sequence(model.get(), 0, 1000);
  for (int64_t fed = 0; fed < 3 * window_; ++fed) {
    sequence.Feed(Tokens(fed, fed + 1));
    const StateExtent extent = model->Extent(0);
    EXPECT_EQ(extent.tokens(), fed + 1);
    const auto bytes = static_cast<int64_t>(sequence.Save().size());
    EXPECT_EQ(bytes,
              SavedStateBytes(config_, DType::kF32, extent.history_tokens,
                              extent.window_tokens));
    if (HistoryLayers(config_) == 0) {
      EXPECT_LE(bytes, model->memory().session_cache_bytes);
    }
  }
}

TEST_P(StateTransferTest, ExtentsThatNoSequenceHas) {
  const auto model = MakeSeededModel(config_, GetParam(), Options(2, 1000));
  const StateExtent wrong[] = {{-window_, 1},
                               {1, 1},
                               {0, -1},
                               {0, 1001},
                               {1000 / window_ * window_ + window_, 0},
                               {int64_t{1} << 62, int64_t{1} << 62}};
  for (const StateExtent& extent : wrong) {
    if (window_ == 1 && extent.history_tokens == 1) continue;
    EXPECT_EQ(model->StateBytes(extent).status().code(),
              absl::StatusCode::kInvalidArgument)
        << extent.history_tokens << " " << extent.window_tokens;
  }
  if (config_.has_windows()) {
    EXPECT_FALSE(model->StateBytes({window_, window_ + 1}).ok());
    EXPECT_TRUE(model->StateBytes({window_, window_}).ok());
  } else {
    EXPECT_FALSE(model->StateBytes({window_, 1}).ok());
  }
  EXPECT_TRUE(model->StateBytes({}).ok());
}

INSTANTIATE_TEST_SUITE_P(RandomConfigs, StateTransferTest,
                         testing::Range(uint32_t{0}, uint32_t{10}));

}  // namespace
}  // namespace tlin
