// Which states are kept, by which keys.
#include "engine/session/prefix_cache.h"

#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "tests/engine/harness.h"

namespace tlin {
namespace {

std::shared_ptr<const SavedState> State(size_t bytes) {
  auto state = std::make_shared<SavedState>();
  state->bytes.resize(bytes);
  return state;
}

std::vector<TokenId> Tokens(int64_t count, uint64_t salt = 1) {
  return Harness::MakeRequest(count, 1, salt).prompt;
}

TEST(PrefixCacheTest, KeysNamePrefixes) {
  PrefixCache cache("a model", 8, 1000);
  const std::vector<TokenId> tokens = Tokens(40);
  const PrefixKey whole = cache.Extend(cache.root(), tokens);
  EXPECT_EQ(whole.tokens, 40);
  // However it was come by.
  PrefixKey grown = cache.root();
  for (size_t end = 8; end <= 40; end += 8) {
    const auto prefix = absl::MakeConstSpan(tokens).subspan(0, end);
    grown = cache.Extend(grown, prefix);
    EXPECT_EQ(grown, cache.Extend(cache.root(), prefix));
    EXPECT_EQ(grown == whole, end == 40);
  }
  for (size_t i = 0; i < 40; ++i) {
    std::vector<TokenId> other = tokens;
    ++other[i];
    EXPECT_FALSE(cache.Extend(cache.root(), other) == whole) << i;
  }
  PrefixCache of_other_model("b model", 8, 1000);
  EXPECT_FALSE(of_other_model.Extend(of_other_model.root(), tokens) == whole);
}

TEST(PrefixCacheTest, TheLeastRecentlyUsedIsLetGo) {
  PrefixCache cache("a model", 1, 100);
  std::vector<PrefixKey> keys;
  for (uint64_t i = 0; i < 4; ++i) {
    keys.push_back(cache.Extend(cache.root(), {static_cast<TokenId>(i)}));
  }
  for (int i = 0; i < 3; ++i) cache.Insert(keys[i], State(30));
  EXPECT_EQ(cache.bytes(), 90);
  EXPECT_NE(cache.Find(keys[0]), nullptr);
  cache.Insert(keys[3], State(40));
  EXPECT_EQ(cache.Find(keys[1]), nullptr);
  EXPECT_NE(cache.Find(keys[0]), nullptr);
  EXPECT_NE(cache.Find(keys[2]), nullptr);
  EXPECT_EQ(cache.bytes(), 100);
  EXPECT_TRUE(cache.Fits(100));
  EXPECT_FALSE(cache.Fits(101));
  cache.Insert(keys[1], State(100));
  EXPECT_EQ(cache.size(), 1);
  EXPECT_EQ(cache.bytes(), 100);
}

TEST(PrefixCacheTest, AKeyHasOneState) {
  PrefixCache cache("a model", 1, 100);
  const PrefixKey key = cache.Extend(cache.root(), {1});
  cache.Insert(key, State(30));
  const std::shared_ptr<const SavedState> second = State(50);
  cache.Insert(key, second);
  EXPECT_EQ(cache.Find(key), second);
  EXPECT_EQ(cache.bytes(), 50);
  cache.Erase(key);
  cache.Erase(key);
  EXPECT_EQ(cache.Find(key), nullptr);
  EXPECT_EQ(cache.bytes(), 0);
}

}  // namespace
}  // namespace tlin
