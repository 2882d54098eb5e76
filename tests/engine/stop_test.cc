// Stop strings and stop tokens, against a naive oracle.
#include <random>

#include "engine/stop_checker.h"
#include "engine/stop_matcher.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/tiny_tokenizer.h"

namespace tlin {
namespace {

using ::testing::ElementsAre;

struct Read {
  std::string text;
  std::optional<FinishReason> reason;
  std::string match;
  int32_t tokens = 0;
};

Read ReadAll(const Stopping& stopping, const Tokenizer& tokenizer,
             const std::vector<TokenId>& tokens,
             std::optional<TokenId> eos = std::nullopt) {
  StopChecker checker(stopping, &tokenizer, eos);
  Read read;
  for (TokenId token : tokens) {
    ++read.tokens;
    read.reason = checker.Append(token, &read.text);
    if (read.reason.has_value()) break;
  }
  if (!read.reason.has_value()) checker.Flush(&read.text);
  read.match = checker.stop_match();
  return read;
}

std::vector<TokenId> Letters(absl::string_view text) {
  return TinyTokenizer::Letters().Encode(text);
}

// What StopMatcher promises, from the whole text after every piece.
bool OracleFind(const std::string& text, const std::vector<std::string>& stops,
                size_t* begin, std::string* match) {
  *begin = std::string::npos;
  for (const std::string& stop : stops) {
    const size_t at = text.find(stop);
    if (at == std::string::npos) continue;
    if (*begin != std::string::npos &&
        (at > *begin || (at == *begin && stop.size() < match->size()))) {
      continue;
    }
    *begin = at;
    *match = stop;
  }
  return *begin != std::string::npos;
}

TEST(StopMatcherTest, AgreesWithTheOracleOnRandomPieces) {
  std::mt19937_64 random(1);
  int found_count = 0;
  for (int round = 0; round < 20000; ++round) {
    // A small alphabet makes overlaps and self-overlaps common.
    const auto word = [&random](size_t least, size_t most) {
      std::string text;
      const size_t size = least + random() % (most - least + 1);
      for (size_t i = 0; i < size; ++i) text += "ab"[random() % 2];
      return text;
    };
    std::vector<std::string> stops;
    for (size_t i = random() % 4; i > 0; --i) stops.push_back(word(1, 7));
    StopMatcher matcher(stops);
    std::string all, passed, match;
    size_t begin = 0;
    for (int piece = 0; piece < 12; ++piece) {
      const std::string text = word(0, 4);
      all += text;
      const bool found = matcher.Append(text, &passed);
      const bool expected = OracleFind(all, stops, &begin, &match);
      ASSERT_EQ(found, expected);
      if (found) {
        ASSERT_EQ(matcher.match(), match);
        ASSERT_EQ(passed, all.substr(0, begin));
        ++found_count;
        break;
      }
      // Nothing is held that no stop string can begin in.
      size_t held = 0;
      for (const std::string& stop : stops) {
        for (size_t n = 1; n < stop.size() && n <= all.size(); ++n) {
          if (all.substr(all.size() - n) == stop.substr(0, n)) {
            held = std::max(held, n);
          }
        }
      }
      ASSERT_EQ(passed, all.substr(0, all.size() - held));
      ASSERT_EQ(matcher.holding(), held > 0);
    }
    if (!matcher.match().empty()) continue;
    matcher.Flush(&passed);
    ASSERT_EQ(passed, all);
  }
  EXPECT_GT(found_count, 5000);
}

TEST(StopMatcherTest, TheEarliestThenTheLongestCounts) {
  std::string out;
  const std::vector<std::string> stops = {"cd", "bc", "bcd"};
  StopMatcher matcher(stops);
  EXPECT_TRUE(matcher.Append("abcd", &out));
  EXPECT_EQ(matcher.match(), "bcd");
  EXPECT_EQ(out, "a");
}

TEST(StopCheckerTest, TextStopsAcrossTokensAndIncludesTheStopOnRequest) {
  const TinyTokenizer tokenizer = TinyTokenizer::Letters();
  Stopping stopping;
  stopping.stop = {"stop"};
  Read read = ReadAll(stopping, tokenizer, Letters("please stop here"));
  EXPECT_EQ(read.text, "please ");
  EXPECT_EQ(read.match, "stop");
  EXPECT_EQ(read.reason, FinishReason::kStop);
  EXPECT_EQ(read.tokens, 11);
  stopping.include_stop = true;
  EXPECT_EQ(ReadAll(stopping, tokenizer, Letters("please stop here")).text,
            "please stop");
}

TEST(StopCheckerTest, TextThatMayBeAStopIsHeldUntilItIsDecided) {
  const TinyTokenizer tokenizer = TinyTokenizer::Letters();
  Stopping stopping;
  stopping.stop = {"stop"};
  StopChecker checker(stopping, &tokenizer, std::nullopt);
  std::string text;
  for (TokenId token : Letters("xsto")) checker.Append(token, &text);
  EXPECT_EQ(text, "x");
  EXPECT_TRUE(checker.holding());
  checker.Append(Letters("s")[0], &text);
  EXPECT_EQ(text, "xsto");
  EXPECT_TRUE(checker.holding());
  checker.Append(Letters("a")[0], &text);
  EXPECT_EQ(text, "xstosa");
  EXPECT_FALSE(checker.holding());
}

TEST(StopCheckerTest, EndOfTextAndStopTokens) {
  const TinyTokenizer tokenizer = TinyTokenizer::Letters();
  const TokenId eos = 27;
  std::vector<TokenId> tokens = Letters("abc");
  tokens.push_back(eos);
  tokens.push_back(Letters("d")[0]);
  Stopping stopping;
  Read read = ReadAll(stopping, tokenizer, tokens, eos);
  EXPECT_EQ(read.reason, FinishReason::kEos);
  EXPECT_EQ(read.text, "abc");
  EXPECT_EQ(read.match, "");
  EXPECT_EQ(read.tokens, 4);

  stopping.ignore_eos = true;
  read = ReadAll(stopping, tokenizer, tokens, eos);
  EXPECT_EQ(read.reason, std::nullopt);
  EXPECT_EQ(read.text, "abcd") << "a special token is not text";

  stopping.stop_token_ids = {1};
  read = ReadAll(stopping, tokenizer, tokens, eos);
  EXPECT_EQ(read.reason, FinishReason::kStop);
  EXPECT_EQ(read.text, "a");
  EXPECT_EQ(read.match, "1");
  stopping.include_stop = true;
  EXPECT_EQ(ReadAll(stopping, tokenizer, tokens, eos).text, "ab");
}

TEST(StopCheckerTest, NothingEndsBeforeMinNewTokens) {
  const TinyTokenizer tokenizer = TinyTokenizer::Letters();
  const TokenId eos = 27;
  Stopping stopping;
  stopping.min_new_tokens = 4;
  stopping.stop = {"ab"};
  stopping.stop_token_ids = {2};
  StopChecker checker(stopping, &tokenizer, eos);
  std::string text;
  for (absl::string_view letter : {"a", "b", "c"}) {
    EXPECT_THAT(checker.banned(), ElementsAre(2, eos));
    EXPECT_EQ(checker.Append(Letters(letter)[0], &text), std::nullopt);
  }
  EXPECT_EQ(text, "abc");
  EXPECT_THAT(checker.banned(), ElementsAre());
  EXPECT_EQ(checker.Append(Letters("a")[0], &text), std::nullopt);
  EXPECT_EQ(checker.Append(Letters("b")[0], &text), FinishReason::kStop);
  EXPECT_EQ(text, "abc");
}

TEST(StopCheckerTest, LengthLetsHeldTextOut) {
  const TinyTokenizer tokenizer = TinyTokenizer::Letters();
  Stopping stopping;
  stopping.max_new_tokens = 3;
  stopping.stop = {"cde"};
  const Read read = ReadAll(stopping, tokenizer, Letters("acdef"));
  EXPECT_EQ(read.reason, FinishReason::kLength);
  EXPECT_EQ(read.text, "acd");
}

TEST(StopCheckerTest, CharactersAreWholeWhateverTheTokensCut) {
  // U+20AC is E2 82 AC.
  const TinyTokenizer tokenizer({"\xE2", "\x82", "\xAC", "x"});
  Stopping stopping;
  stopping.stop = {"\xE2\x82\xACx"};
  StopChecker checker(stopping, &tokenizer, std::nullopt);
  std::string text;
  for (TokenId token : {0, 1}) checker.Append(token, &text);
  EXPECT_EQ(text, "");
  EXPECT_FALSE(checker.holding()) << "an unfinished character is not a stop";
  checker.Append(2, &text);
  EXPECT_TRUE(checker.holding());
  EXPECT_EQ(checker.Append(3, &text), FinishReason::kStop);
  EXPECT_EQ(text, "");
  EXPECT_EQ(ReadAll(Stopping(), tokenizer, {3, 0, 1}).text, "x\xEF\xBF\xBD");
}

TEST(StopCheckerTest, WithoutTokenizerThereIsNoText) {
  Stopping stopping;
  stopping.stop_token_ids = {5};
  StopChecker checker(stopping, nullptr, std::nullopt);
  std::string text;
  EXPECT_EQ(checker.Append(4, &text), std::nullopt);
  EXPECT_EQ(checker.Append(5, &text), FinishReason::kStop);
  EXPECT_EQ(text, "");
}

// The same through StopChecker: tokens of several bytes, random stops.
TEST(StopCheckerTest, AgreesWithTheOracleOnRandomTokens) {
  const TinyTokenizer tokenizer({"a", "b", "ab", "ba", "aab", "<|end|>", "bb"});
  std::mt19937_64 random(2);
  for (int round = 0; round < 5000; ++round) {
    Stopping stopping;
    stopping.include_stop = random() % 2 == 0;
    for (size_t i = 1 + random() % 3; i > 0; --i) {
      std::string stop;
      for (size_t n = 1 + random() % 6; n > 0; --n) stop += "ab"[random() % 2];
      stopping.stop.push_back(stop);
    }
    std::vector<TokenId> tokens;
    for (int i = 0; i < 12; ++i) {
      tokens.push_back(static_cast<TokenId>(random() % 7));
    }
    std::string all, match, expected;
    size_t begin = 0;
    int32_t used = 0;
    bool found = false;
    for (TokenId token : tokens) {
      ++used;
      if (!tokenizer.IsSpecial(token))
        all += std::string(tokenizer.Bytes(token));
      found = OracleFind(all, stopping.stop, &begin, &match);
      if (found) break;
    }
    expected = found ? all.substr(0, begin) : all;
    if (found && stopping.include_stop) expected += match;
    const Read read = ReadAll(stopping, tokenizer, tokens);
    ASSERT_EQ(read.text, expected);
    ASSERT_EQ(read.tokens, used);
    ASSERT_EQ(read.match, found ? match : "");
  }
}

}  // namespace
}  // namespace tlin
