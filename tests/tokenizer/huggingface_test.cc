// Token for token what Hugging Face's `tokenizers` makes of the same file and
// text.
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/tokenizer/pre_tokenizer.h"
#include "engine/tokenizer/tokenizer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/tokenizer/golden_files.h"

namespace tlin {
namespace {

std::string Hex(uint64_t hash) { return absl::StrFormat("%016x", hash); }

class VariantTest : public testing::TestWithParam<std::string> {};

TEST_P(VariantTest, EncodesEveryText) {
  const auto tokenizer = LoadVariant(GetParam());
  const nlohmann::json& texts = Goldens()["texts"];
  const nlohmann::json& ids = Goldens()["variants"][GetParam()]["ids"];
  ASSERT_EQ(texts.size(), ids.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(tokenizer->Encode(texts[i].get<std::string>()),
              ids[i].get<std::vector<TokenId>>())
        << "text " << i << ": " << texts[i].dump();
  }
}

std::vector<std::string> VariantNames() {
  std::vector<std::string> names;
  for (const auto& item : Goldens()["variants"].items()) {
    names.push_back(item.key());
  }
  return names;
}

std::string TestName(const testing::TestParamInfo<std::string>& info) {
  std::string name;
  for (const char c : info.param) name.push_back(c == '-' ? '_' : c);
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, VariantTest, testing::ValuesIn(VariantNames()),
                         TestName);

class CorpusTest : public testing::TestWithParam<const char*> {};

TEST_P(CorpusTest, EncodesTheWholeFile) {
  const auto tokenizer = LoadVariant("gpt2");
  const std::string text = ReadCorpus(GetParam());
  const std::vector<TokenId> ids = tokenizer->Encode(text);
  const nlohmann::json& want = Goldens()["corpus"][GetParam()];
  EXPECT_EQ(ids.size(), want["tokens"].get<size_t>());
  EXPECT_EQ(Hex(Fnv1a(kFnvStart, ids)), want["fnv1a"].get<std::string>());
  EXPECT_TRUE(DecodeAll(*tokenizer, ids) == text);
}

INSTANTIATE_TEST_SUITE_P(All, CorpusTest,
                         testing::Values("kjv.txt.xz", "moby-dick.txt.xz",
                                         "sotu.txt.xz"),
                         [](const auto& info) {
                           return absl::StrCat("File", info.index);
                         });

void AppendUtf8(char32_t c, std::string* out) {
  const auto tail = [&](int shift) {
    out->push_back(static_cast<char>(0x80 | ((c >> shift) & 0x3F)));
  };
  if (c < 0x80) {
    out->push_back(static_cast<char>(c));
  } else if (c < 0x800) {
    out->push_back(static_cast<char>(0xC0 | c >> 6));
    tail(0);
  } else if (c < 0x10000) {
    out->push_back(static_cast<char>(0xE0 | c >> 12));
    tail(6);
    tail(0);
  } else {
    out->push_back(static_cast<char>(0xF0 | c >> 18));
    tail(12);
    tail(6);
    tail(0);
  }
}

// Where words end beside each of Unicode's code points gives away its class.
TEST(PreTokenizerTest, ClassifiesEveryCodePoint) {
  uint64_t hash = kFnvStart;
  size_t words = 0;
  for (char32_t first = 0; first < 0x110000; first += 4096) {
    std::string text;
    for (char32_t c = first; c < first + 4096; ++c) {
      if (c >= 0xD800 && c < 0xE000) continue;
      text += 'a';
      AppendUtf8(c, &text);
      text += '1';
      AppendUtf8(c, &text);
      AppendUtf8(c, &text);
    }
    std::vector<int32_t> lengths;
    for (absl::string_view rest = text; !rest.empty();) {
      lengths.push_back(static_cast<int32_t>(FirstWordLength(rest)));
      rest.remove_prefix(static_cast<size_t>(lengths.back()));
    }
    hash = Fnv1a(hash, lengths);
    words += lengths.size();
  }
  const nlohmann::json& want = Goldens()["class_words"];
  EXPECT_EQ(words, want["words"].get<size_t>());
  EXPECT_EQ(Hex(hash), want["fnv1a"].get<std::string>());
}

TEST(TokenizerTest, Gpt2HasItsSizeAndOneSpecialToken) {
  const auto tokenizer = LoadVariant("gpt2");
  ASSERT_EQ(tokenizer->vocab_size(), 50257);
  for (TokenId id = 0; id < 50256; ++id) EXPECT_FALSE(tokenizer->IsSpecial(id));
  EXPECT_TRUE(tokenizer->IsSpecial(50256));
  EXPECT_EQ(tokenizer->Bytes(50256), "<|endoftext|>");
  EXPECT_EQ(tokenizer->Bytes(262), " the");
}

TEST(TokenizerTest, AddedTokensNeedNotBeSpecial) {
  const auto tokenizer = LoadVariant("small-added");
  const std::vector<TokenId> ids = tokenizer->Encode("<a><b>");
  ASSERT_THAT(ids, testing::SizeIs(1));
  EXPECT_FALSE(tokenizer->IsSpecial(ids[0]));
  EXPECT_EQ(tokenizer->Bytes(ids[0]), "<a><b>");
}

TEST(TokenizerTest, ServesThreadsAtOnce) {
  const auto tokenizer = LoadVariant("gpt2");
  const std::string text = ReadCorpus("moby-dick.txt.xz").substr(0, 100'000);
  const std::vector<TokenId> want = tokenizer->Encode(text);
  std::vector<std::vector<TokenId>> got(4);
  std::vector<std::thread> threads;
  for (auto& ids : got) {
    threads.emplace_back([&] { ids = tokenizer->Encode(text); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(got, testing::Each(want));
}

}  // namespace
}  // namespace tlin
