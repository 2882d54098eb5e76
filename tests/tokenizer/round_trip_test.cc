// Decode(Encode(b)) == b, and the ways to encode agree with each other.
#include <algorithm>
#include <array>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/tokenizer/added_tokens.h"
#include "engine/tokenizer/bpe.h"
#include "gtest/gtest.h"
#include "tests/tokenizer/golden_files.h"

namespace tlin {
namespace {

using Random = std::mt19937;

size_t Below(Random* random, size_t end) {
  return std::uniform_int_distribution<size_t>(0, end - 1)(*random);
}

std::string RandomBytes(Random* random, size_t max_length) {
  std::string bytes(Below(random, max_length + 1), '\0');
  // Half of the strings are of few bytes, so that merges and added tokens
  // happen.
  const bool few = Below(random, 2) == 0;
  constexpr char kFew[] = "ab <>|'sxte\n\xC3\xA9\xE4\xB8\xAD\xFF";
  for (char& byte : bytes) {
    byte = few ? kFew[Below(random, sizeof(kFew) - 1)]
               : static_cast<char>(Below(random, 256));
  }
  return bytes;
}

class RoundTripTest : public testing::TestWithParam<const char*> {};

TEST_P(RoundTripTest, GivesBackAnyBytes) {
  const auto tokenizer = LoadVariant(GetParam());
  Random random(7);
  for (int i = 0; i < 4000; ++i) {
    const std::string bytes = RandomBytes(&random, 200);
    const std::vector<TokenId> ids = tokenizer->Encode(bytes);
    for (const TokenId id : ids) {
      ASSERT_GE(id, 0);
      ASSERT_LT(id, tokenizer->vocab_size());
    }
    ASSERT_EQ(DecodeAll(*tokenizer, ids), bytes);
  }
}

INSTANTIATE_TEST_SUITE_P(All, RoundTripTest,
                         testing::Values("gpt2", "small", "small-added",
                                         "small-whole", "small-ignore-merges"),
                         [](const auto& info) {
                           return absl::StrCat("Variant", info.index);
                         });

TEST(TokenizerTest, PrefixSpaceIsAllThatIsAdded) {
  const auto tokenizer = LoadVariant("gpt2-prefix");
  for (const char* text : {"a", " a", "\na", "\xFF", ""}) {
    const std::string want =
        *text == '\0' || *text == ' ' ? text : absl::StrCat(" ", text);
    EXPECT_EQ(DecodeAll(*tokenizer, tokenizer->Encode(text)), want);
  }
}

TEST(TokenizerTest, LongWordsTakeNoQuadraticTime) {
  const auto tokenizer = LoadVariant("gpt2");
  Random random(1);
  std::string letters(1 << 20, 'a');
  for (char& c : letters) c = static_cast<char>('a' + Below(&random, 26));
  for (const std::string& word :
       {letters, std::string(1 << 20, 'a'), std::string(1 << 20, ' '),
        std::string(1 << 20, '\xF0'), std::string(1 << 20, '\'')}) {
    const absl::Time start = absl::Now();
    EXPECT_TRUE(DecodeAll(*tokenizer, tokenizer->Encode(word)) == word);
    // Quadratic time would be hours; the bound leaves room for sanitizers.
    EXPECT_LT(absl::Now() - start, absl::Seconds(60));
  }
}

// Merges one pair at a time by looking at all of them.
std::vector<TokenId> MergeNaively(
    std::vector<TokenId> ids,
    const std::vector<std::pair<TokenId, TokenId>>& merges) {
  for (;;) {
    size_t best_rank = merges.size();
    size_t best_at = 0;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      const auto it = std::find(merges.begin(), merges.end(),
                                std::make_pair(ids[i], ids[i + 1]));
      const auto rank = static_cast<size_t>(it - merges.begin());
      if (rank < best_rank) {
        best_rank = rank;
        best_at = i;
      }
    }
    if (best_rank == merges.size()) return ids;
    ids[best_at] = static_cast<TokenId>(256 + best_rank);
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(best_at) + 1);
  }
}

TEST(BpeTest, ShortAndLongWordsMergeAsTheNaiveWay) {
  Random random(3);
  std::array<TokenId, 256> byte_ids;
  for (TokenId i = 0; i < 256; ++i) byte_ids[static_cast<size_t>(i)] = i;
  for (int round = 0; round < 60; ++round) {
    // Merges of a and b, of each other, in an order that need not make sense.
    std::vector<TokenId> known = {'a', 'b', 'c'};
    std::vector<std::pair<TokenId, TokenId>> merges;
    for (TokenId id = 256; id < 276; ++id) {
      const auto pair = std::make_pair(known[Below(&random, known.size())],
                                       known[Below(&random, known.size())]);
      if (std::count(merges.begin(), merges.end(), pair) > 0) break;
      merges.push_back(pair);
      known.push_back(id);
    }
    Bpe bpe(byte_ids);
    for (size_t i = 0; i < merges.size(); ++i) {
      bpe.AddMerge(merges[i].first, merges[i].second, static_cast<uint32_t>(i),
                   static_cast<TokenId>(256 + i));
    }
    for (size_t length : {1, 2, 3, 8, 31, 32, 33, 34, 60, 200}) {
      std::string word(length, 'a');
      for (char& c : word) c = static_cast<char>('a' + Below(&random, 3));
      std::vector<TokenId> got;
      bpe.Encode(word, &got);
      ASSERT_EQ(got, MergeNaively({word.begin(), word.end()}, merges)) << word;
    }
  }
}

TEST(AddedTokensTest, FindsTheLeftmostThenTheLongest) {
  Random random(5);
  for (int round = 0; round < 300; ++round) {
    std::map<std::string, TokenId> tokens;
    for (TokenId id = 0; id < 6; ++id) {
      std::string content(1 + Below(&random, 4), 'a');
      for (char& c : content) c = "ab\xFF"[Below(&random, 3)];
      tokens.emplace(content, id);
    }
    const AddedTokens added({tokens.begin(), tokens.end()});
    std::string text(30, 'a');
    for (char& c : text) c = "abc\xFF"[Below(&random, 4)];
    for (size_t from = 0; from <= text.size(); ++from) {
      AddedTokens::Match want = {text.size(), 0, 0};
      for (size_t at = from; at < text.size() && want.length == 0; ++at) {
        for (const auto& [content, id] : tokens) {
          if (text.compare(at, content.size(), content) == 0 &&
              content.size() > want.length) {
            want = {at, content.size(), id};
          }
        }
      }
      const AddedTokens::Match got = added.FindNext(text, from);
      ASSERT_EQ(got.begin, want.begin);
      ASSERT_EQ(got.length, want.length);
      ASSERT_EQ(got.id, want.id);
    }
  }
}

}  // namespace
}  // namespace tlin
