// Files that are wrong, or ask for what is not supported, name themselves and
// the field.
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <ostream>
#include <string>

#include "absl/strings/str_cat.h"
#include "engine/tokenizer/json_parser.h"
#include "engine/tokenizer/tokenizer.h"
#include "engine/tokenizer/tokenizer_json.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/tokenizer/golden_files.h"

namespace tlin {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::StartsWith;

std::string MessageOf(const std::string& text) {
  const auto tokenizer = Tokenizer::Parse(text, "t.json");
  if (tokenizer.ok()) return "it parsed";
  EXPECT_EQ(tokenizer.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(tokenizer.status().message());
}

struct Case {
  const char* path;   // JSON pointer of what is replaced
  const char* value;  // by this JSON; "" removes it
  const char* want;   // in the message
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.path << " becomes " << (*c.value != '\0' ? c.value : "nothing");
}

class MalformedTest : public testing::TestWithParam<Case> {};

TEST_P(MalformedTest, IsRefused) {
  json file = VariantJson("small-added");
  const json::json_pointer path(GetParam().path);
  if (*GetParam().value != '\0') {
    file[path] = json::parse(GetParam().value);
  } else {
    file[path.parent_pointer()].erase(path.back());
  }
  const std::string message = MessageOf(file.dump());
  EXPECT_THAT(message, StartsWith("t.json: "));
  EXPECT_THAT(message, HasSubstr(GetParam().want));
}

constexpr Case kCases[] = {
    {"/version", "\"2.0\"", "version: only \"1.0\""},
    {"/truncation", "{}", "truncation: only null"},
    {"/padding", "{}", "padding: only null"},
    {"/normalizer", R"({"type":"NFC"})", "normalizer: only null"},
    {"/pre_tokenizer", "", "pre_tokenizer: missing"},
    {"/pre_tokenizer", "null", "pre_tokenizer: missing"},
    {"/pre_tokenizer", "7", "pre_tokenizer: want an object"},
    {"/pre_tokenizer/type", "\"Sequence\"", "pre_tokenizer.type: only"},
    {"/pre_tokenizer/type", "", "pre_tokenizer.type: missing"},
    {"/pre_tokenizer/add_prefix_space", "", "add_prefix_space: missing"},
    {"/pre_tokenizer/add_prefix_space", "0", "pre_tokenizer.add_prefix_space"},
    {"/pre_tokenizer/use_regex", "\"\"", "pre_tokenizer.use_regex: want true"},
    {"/post_processor", R"({"type":"TemplateProcessing"})",
     "post_processor.type: only \"ByteLevel\""},
    {"/decoder", "", "decoder: missing"},
    {"/decoder/type", "\"WordPiece\"", "decoder.type: only \"ByteLevel\""},
    {"/model", "", "model: missing"},
    {"/model", "[]", "model: want an object"},
    {"/model/type", "\"Unigram\"", "model.type: only \"BPE\""},
    {"/model/type", "null", "model.type: missing"},
    {"/model/dropout", "0.1", "model.dropout"},
    {"/model/continuing_subword_prefix", "\"##\"",
     "model.continuing_subword_prefix: only null"},
    {"/model/end_of_word_suffix", "\"</w>\"", "model.end_of_word_suffix"},
    {"/model/ignore_merges", "1", "model.ignore_merges: want true or false"},
    {"/model/vocab", "", "model.vocab: missing"},
    {"/model/vocab", "[]", "model.vocab: want an object"},
    {"/model/vocab", "{}", "model.vocab: lacks the token of byte 0x00"},
    {"/model/vocab/a", "", "model.vocab: lacks the token of byte 0x61"},
    {"/model/vocab/a", "-1", "model.vocab.\"a\": want an integer id"},
    {"/model/vocab/a", "1.5", "model.vocab.\"a\": want an integer id"},
    {"/model/vocab/a", "\"1\"", "model.vocab.\"a\": want an integer id"},
    {"/model/vocab/a", "1048576", "want an integer id from 0 to 1048575"},
    {"/model/vocab/a", "18446744073709551615", "model.vocab.\"a\": want"},
    {"/model/vocab/a", "5", "another token has the id 5"},
    {"/model/merges", "", "model.merges: missing"},
    {"/model/merges", "{}", "model.merges: want an array"},
    {"/model/merges/3", "\"a\"", "model.merges[3]: want"},
    {"/model/merges/3", "\"a b c\"", "model.merges[3]: want"},
    {"/model/merges/3", "[\"a\"]", "model.merges[3]: want"},
    {"/model/merges/3", "[\"a\",1]", "model.merges[3]: want"},
    {"/model/merges/3", "null", "model.merges[3]: want"},
    {"/model/merges/3", "\"qqq a\"", "model.merges[3]: model.vocab has no"},
    {"/model/merges/3", "\"a qqq\"", "has no token \"qqq\""},
    {"/model/merges/3", "[\"q\",\"z\"]", "has no token \"qz\""},
    {"/added_tokens", "{}", "added_tokens: want an array"},
    {"/added_tokens/1", "null", "added_tokens[1]: want an object"},
    {"/added_tokens/2/content", "", "added_tokens[2].content: want a string"},
    {"/added_tokens/2/content", "\"\"", "added_tokens[2].content: want 1 to"},
    {"/added_tokens/2/content", "\"<a>\"", "another added token has it"},
    {"/added_tokens/1/content", "\"a\"", "added_tokens[1].id: 300, but"},
    {"/added_tokens/1/id", "", "added_tokens[1].id: missing"},
    {"/added_tokens/1/id", "-3", "added_tokens[1].id: want an integer id"},
    {"/added_tokens/1/id", "4294967596", "added_tokens[1].id: want"},
    {"/added_tokens/1/id", "900000", "added_tokens[1].id: 900000, but"},
    {"/added_tokens/1/id", "3", "added_tokens[1].id: 3, but"},
    {"/added_tokens/3/lstrip", "true", "added_tokens[3].lstrip: only false"},
    {"/added_tokens/3/rstrip", "true", "added_tokens[3].rstrip: only false"},
    {"/added_tokens/3/single_word", "true", "added_tokens[3].single_word"},
    {"/added_tokens/3/special", "", "added_tokens[3].special: missing"},
    {"/added_tokens/3/normalized", "3", "added_tokens[3].normalized: want"},
};

INSTANTIATE_TEST_SUITE_P(All, MalformedTest, testing::ValuesIn(kCases));

TEST(TokenizerFileTest, ACaseThatChangesNothingParses) {
  const std::string text = VariantJson("small-added").dump();
  EXPECT_EQ(MessageOf(text), "it parsed");
  // Cut anywhere, it does not.
  for (size_t size = 0; size < text.size(); size += 97) {
    EXPECT_THAT(MessageOf(text.substr(0, size)), HasSubstr("malformed JSON"));
  }
  EXPECT_THAT(MessageOf(text + "x"), HasSubstr("malformed JSON at byte"));
  EXPECT_THAT(MessageOf(R"({"version":1e400})"), HasSubstr("malformed JSON"));
  EXPECT_THAT(MessageOf("[1]"), HasSubstr("want a JSON object"));
  EXPECT_THAT(MessageOf("\"\xFF\""), HasSubstr("malformed JSON"));
}

TEST(TokenizerFileTest, IdsThatMeetAreRefused) {
  // 300 tokens, the last id moved up by two: the loader's next id is taken.
  json file = VariantJson("small");
  for (auto& item : file["model"]["vocab"].items()) {
    if (item.value() == 299) item.value() = 301;
  }
  const json added = VariantJson("small-added")["added_tokens"];
  file["added_tokens"] = {added[1], added[2]};
  EXPECT_THAT(MessageOf(file.dump()),
              HasSubstr("added_tokens[1].id: another token has the id 301"));
  file["added_tokens"].erase(1);
  auto tokenizer = Tokenizer::Parse(file.dump(), "t.json");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->vocab_size(), 302);
  EXPECT_EQ((*tokenizer)->Bytes(299), "");  // in no use
}

TEST(TokenizerFileTest, AnAddedTokenSpelledLikeAByteIsRefused) {
  // U+00E9 spells the byte 0xE9 in the vocabulary, and itself in added tokens.
  json file = VariantJson("small-added");
  file["added_tokens"][0]["content"] = "\u00E9";
  file["added_tokens"][0]["id"] = file["model"]["vocab"]["\u00E9"];
  EXPECT_THAT(MessageOf(file.dump()),
              HasSubstr("added_tokens[0].content: stands for other bytes"));
}

TEST(TokenizerFileTest, KeysThatStandTwiceAreRefused) {
  EXPECT_EQ(MessageOf(R"({"model":{"vocab":{"a":1,"b":2,"a":3}}})"),
            "t.json: model.vocab.a: the key stands there twice");
  EXPECT_EQ(MessageOf(R"({"a":{"b":1},"a":2})"),
            "t.json: a: the key stands there twice");
}

TEST(TokenizerFileTest, SizesAreBounded) {
  const std::string deep(1'000'000, '[');
  EXPECT_THAT(MessageOf(deep), HasSubstr("nested more than 16 deep"));
  std::string many = "[";
  for (size_t i = 0; i <= kMaxJsonValues; ++i) many += "1,";
  EXPECT_THAT(MessageOf(many), HasSubstr("more than 4000000 JSON values"));
  EXPECT_THAT(MessageOf(std::string(kMaxJsonBytes + 1, ' ')),
              HasSubstr("67108865 bytes; at most 67108864 are read"));
  json file = VariantJson("small");
  file["model"]["vocab"][std::string(kMaxTokenBytes + 1, 'a')] = 300;
  EXPECT_THAT(MessageOf(file.dump()), HasSubstr("longer than 4096 bytes"));
  EXPECT_LT(MessageOf(file.dump()).size(), 200u);
  file = VariantJson("small-added");
  file["added_tokens"][0]["content"] =
      std::string(kMaxAddedTokenBytes + 1, 'a');
  EXPECT_THAT(MessageOf(file.dump()),
              HasSubstr("added_tokens[0].content: want 1 to 256 bytes"));
}

TEST(TokenizerFileTest, LoadsFromDiskAndNamesThePath) {
  const std::string path =
      absl::StrCat(testing::TempDir(), "/tokenizer-", getpid(), ".json");
  const auto missing = Tokenizer::Load(path);
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr(path));
  std::ofstream(path) << VariantJson("small").dump();
  EXPECT_TRUE(Tokenizer::Load(path).ok());
  std::ofstream(path) << "{}";
  EXPECT_THAT(std::string(Tokenizer::Load(path).status().message()),
              StartsWith(path + ": pre_tokenizer: missing"));
  std::remove(path.c_str());
  EXPECT_EQ(Tokenizer::Load(testing::TempDir()).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Tokenizer::Load("/dev/zero").status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tlin
