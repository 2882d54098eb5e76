#include "engine/tokenizer/stream_decoder.h"

#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/tokenizer/golden_files.h"

namespace tlin {
namespace {

std::string DecodeWhole(const std::string& bytes) {
  StreamDecoder decoder;
  std::string out;
  decoder.Append(bytes, &out);
  decoder.Flush(&out);
  return out;
}

bool IsUtf8(const std::string& bytes) {
  try {
    return !nlohmann::json(bytes).dump().empty();
  } catch (const nlohmann::json::exception&) {
    return false;
  }
}

TEST(StreamDecoderTest, PassesOnWhatIsValidWhereverItIsSplit) {
  const std::string text = "a\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80z";
  for (size_t i = 0; i <= text.size(); ++i) {
    for (size_t j = i; j <= text.size(); ++j) {
      StreamDecoder decoder;
      std::string out;
      for (const std::string& part :
           {text.substr(0, i), text.substr(i, j - i), text.substr(j)}) {
        decoder.Append(part, &out);
        EXPECT_TRUE(IsUtf8(out));
        EXPECT_EQ(text.compare(0, out.size(), out), 0);
      }
      EXPECT_EQ(out, text);  // nothing is held back at the end
      decoder.Flush(&out);
      EXPECT_EQ(out, text);
    }
  }
}

TEST(StreamDecoderTest, HoldsBackAtMostThreeBytes) {
  const std::string text = "\xF0\x9F\x98\x80";
  StreamDecoder decoder;
  std::string out;
  for (size_t i = 0; i < 3; ++i) {
    decoder.Append(text.substr(i, 1), &out);
    EXPECT_EQ(out, "");
  }
  decoder.Append(text.substr(3), &out);
  EXPECT_EQ(out, text);
}

TEST(StreamDecoderTest, FlushEndsWhatIsUnfinishedAndStartsAfresh) {
  StreamDecoder decoder;
  std::string out;
  decoder.Append("a\xE4\xB8", &out);
  EXPECT_EQ(out, "a");
  decoder.Flush(&out);
  EXPECT_EQ(out, "a\uFFFD");
  decoder.Flush(&out);
  EXPECT_EQ(out, "a\uFFFD");
  decoder.Append("\xAD", &out);  // no longer part of a character
  EXPECT_EQ(out, "a\uFFFD\uFFFD");
}

// The Unicode standard's own examples (chapter 3, tables 3-8 to 3-11).
TEST(StreamDecoderTest, ReplacesMaximalSubparts) {
  struct Case {
    std::string bytes, want;
  };
  const std::vector<Case> cases = {
      {"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41",
       "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\x41"},
      {"\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41",
       "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\x41"},
      {"\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42",
       "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\x41\uFFFD\uFFFD\x42"},
      {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", "\uFFFD\uFFFD\uFFFD\uFFFD\x41"},
      {"\xF0\x9F\x98", "\uFFFD"},
      {"\xF4\x8F\xBF\xBF", "\U0010FFFF"},
      {"\xEF\xBF\xBD", "\uFFFD"},
      {std::string("\0", 1), std::string("\0", 1)},
  };
  for (const Case& c : cases) EXPECT_EQ(DecodeWhole(c.bytes), c.want);
}

TEST(StreamDecoderTest, AnySplitOfAnyBytesIsTheSame) {
  std::mt19937 random(9);
  std::uniform_int_distribution<int> any(0, 255);
  std::uniform_int_distribution<size_t> lead(0, 7);
  for (int round = 0; round < 3000; ++round) {
    std::string bytes;
    for (int i = 0; i < 12; ++i) {
      // Mostly bytes that begin or go on with a character.
      const size_t kind = lead(random);
      bytes.push_back(static_cast<char>(
          kind < 7 ? "\x80\xBF\xC3\xE0\xED\xF0\xF4"[kind] : any(random)));
    }
    const std::string want = DecodeWhole(bytes);
    ASSERT_TRUE(IsUtf8(want));
    StreamDecoder decoder;
    std::string out;
    for (const char byte : bytes) {
      decoder.Append(absl::string_view(&byte, 1), &out);
      ASSERT_TRUE(IsUtf8(out));
    }
    decoder.Flush(&out);
    ASSERT_EQ(out, want);
  }
}

TEST(StreamDecoderTest, TokensOfAnyTextComeOutWhole) {
  const auto tokenizer = LoadVariant("gpt2");
  for (const nlohmann::json& item : Goldens()["texts"]) {
    const auto text = item.get<std::string>();
    StreamDecoder decoder;
    std::string out;
    for (const TokenId id : tokenizer->Encode(text)) {
      decoder.Append(tokenizer->Bytes(id), &out);
      ASSERT_TRUE(IsUtf8(out));
    }
    ASSERT_EQ(out, text);
  }
}

}  // namespace
}  // namespace tlin
