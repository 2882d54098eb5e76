#include "server/request_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/server/server_under_test.h"

namespace tlin {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class RequestCodecTest : public ::testing::Test {
 protected:
  const TinyTokenizer tokenizer_ = TinyTokenizer::Letters();
  const ServedModel model_ = LettersModel(&tokenizer_, nullptr);
  const ServedModel bare_ = LettersModel(nullptr, nullptr);
};

void ExpectFault(const absl::Status& status, absl::StatusCode code,
                 const std::string& message) {
  EXPECT_EQ(status.code(), code) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(message));
}

TEST_F(RequestCodecTest, UnsetFieldsTakeTheDefaults) {
  v1::GenerateRequest message;
  message.set_text("abc");
  const auto request = DecodeGenerate(message, model_, 99);
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->kind, Request::Kind::kGenerate);
  EXPECT_THAT(request->prompt, ElementsAre(0, 1, 2));
  EXPECT_EQ(request->sampling.temperature, 1.0f);
  EXPECT_EQ(request->sampling.top_k, 0);
  EXPECT_EQ(request->sampling.top_p, 1.0f);
  EXPECT_EQ(request->sampling.min_p, 0.0f);
  EXPECT_EQ(request->sampling.repetition_penalty, 1.0f);
  EXPECT_EQ(request->sampling.seed, 99u);
  EXPECT_EQ(request->stopping.max_new_tokens, 256);
  EXPECT_EQ(request->stopping.min_new_tokens, 0);
  EXPECT_FALSE(request->stopping.ignore_eos);
  EXPECT_EQ(request->output.logprobs, 0);
  EXPECT_EQ(request->priority, 0);
  EXPECT_FALSE(request->bypass_prefix_cache);
}

TEST_F(RequestCodecTest, SetFieldsArrive) {
  v1::GenerateRequest message;
  message.set_model("letters");
  for (const int id : {3, 4}) message.mutable_token_ids()->add_ids(id);
  auto* sampling = message.mutable_sampling();
  sampling->set_temperature(0);
  sampling->set_top_k(5);
  sampling->set_top_p(0.5f);
  sampling->set_min_p(0.25f);
  sampling->set_repetition_penalty(1.5f);
  sampling->set_frequency_penalty(-1);
  sampling->set_presence_penalty(2);
  sampling->set_seed(0);
  auto* stopping = message.mutable_stopping();
  stopping->set_max_new_tokens(7);
  stopping->set_min_new_tokens(2);
  stopping->add_stop("xy");
  stopping->add_stop_token_ids(6);
  stopping->set_ignore_eos(true);
  stopping->set_include_stop(true);
  message.mutable_output()->set_logprobs(3);
  message.mutable_output()->set_token_ids_only(true);
  message.set_priority(-4);
  message.set_bypass_prefix_cache(true);
  const auto request = DecodeGenerate(message, model_, 99);
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_THAT(request->prompt, ElementsAre(3, 4));
  EXPECT_EQ(request->sampling.temperature, 0.0f);
  EXPECT_EQ(request->sampling.top_k, 5);
  EXPECT_EQ(request->sampling.top_p, 0.5f);
  EXPECT_EQ(request->sampling.min_p, 0.25f);
  EXPECT_EQ(request->sampling.repetition_penalty, 1.5f);
  EXPECT_EQ(request->sampling.frequency_penalty, -1.0f);
  EXPECT_EQ(request->sampling.presence_penalty, 2.0f);
  EXPECT_EQ(request->sampling.seed, 0u) << "a given seed of 0 is a seed";
  EXPECT_EQ(request->stopping.max_new_tokens, 7);
  EXPECT_EQ(request->stopping.min_new_tokens, 2);
  EXPECT_THAT(request->stopping.stop, ElementsAre("xy"));
  EXPECT_THAT(request->stopping.stop_token_ids, ElementsAre(6));
  EXPECT_TRUE(request->stopping.ignore_eos);
  EXPECT_TRUE(request->stopping.include_stop);
  EXPECT_EQ(request->output.logprobs, 3);
  EXPECT_TRUE(request->output.token_ids_only);
  EXPECT_EQ(request->priority, -4);
  EXPECT_TRUE(request->bypass_prefix_cache);
}

TEST_F(RequestCodecTest, OfTwoInputsTheLastCounts) {
  v1::GenerateRequest message;
  message.set_text("abc");
  message.mutable_token_ids()->add_ids(7);
  const auto request = DecodeGenerate(message, model_, 0);
  ASSERT_TRUE(request.ok());
  EXPECT_THAT(request->prompt, ElementsAre(7));
}

TEST_F(RequestCodecTest, FaultsOfTheInputNameTheirField) {
  using Code = absl::StatusCode;
  v1::GenerateRequest message;
  ExpectFault(DecodeGenerate(message, model_, 0).status(),
              Code::kInvalidArgument, "input: neither text nor token_ids");
  message.set_text("");
  ExpectFault(DecodeGenerate(message, model_, 0).status(),
              Code::kInvalidArgument, "text has 0 tokens");
  message.set_text(std::string(4096, 'a'));
  ExpectFault(DecodeGenerate(message, model_, 0).status(),
              Code::kInvalidArgument, "text has 4096 tokens: want 1 to 4095");
  message.set_text(std::string(1 << 20, 'a'));
  ExpectFault(DecodeGenerate(message, model_, 0).status(),
              Code::kInvalidArgument, "text has at least");
  message.mutable_token_ids();
  ExpectFault(DecodeGenerate(message, model_, 0).status(),
              Code::kInvalidArgument, "token_ids.ids has 0 tokens");
  message.mutable_token_ids()->add_ids(0);
  message.mutable_token_ids()->add_ids(28);
  ExpectFault(DecodeGenerate(message, model_, 0).status(),
              Code::kInvalidArgument, "token_ids.ids[1] is 28");
  message.mutable_token_ids()->set_ids(1, -1);
  ExpectFault(DecodeGenerate(message, model_, 0).status(),
              Code::kInvalidArgument, "token_ids.ids[1] is -1");
}

TEST_F(RequestCodecTest, UnknownModelsAreNotFound) {
  v1::GenerateRequest message;
  message.set_text("a");
  message.set_model("other\n");
  ExpectFault(DecodeGenerate(message, model_, 0).status(),
              absl::StatusCode::kNotFound, "model: 'other\\n' is not served");
  message.set_model("letters");
  message.set_session_id("s-1");
  EXPECT_EQ(DecodeGenerate(message, model_, 0)->session_id, "s-1");
}

TEST_F(RequestCodecTest, TextWithoutTokenizerIsAFailedPrecondition) {
  constexpr auto kCode = absl::StatusCode::kFailedPrecondition;
  v1::GenerateRequest generate;
  generate.set_text("abc");
  ExpectFault(DecodeGenerate(generate, bare_, 0).status(), kCode, "text:");
  generate.mutable_token_ids()->add_ids(1);
  EXPECT_TRUE(DecodeGenerate(generate, bare_, 0).ok());
  generate.mutable_stopping()->add_stop("x");
  ExpectFault(DecodeGenerate(generate, bare_, 0).status(), kCode,
              "stopping.stop:");
  v1::ScoreRequest score;
  score.set_text("abc");
  ExpectFault(DecodeScore(score, bare_).status(), kCode, "text:");
  ExpectFault(Tokenize({}, bare_).status(), kCode, "text:");
  ExpectFault(Detokenize({}, bare_).status(), kCode, "token_ids:");
}

TEST_F(RequestCodecTest, ScoreTakesTwoTokensOrMore) {
  v1::ScoreRequest message;
  message.set_text("a");
  ExpectFault(DecodeScore(message, model_).status(),
              absl::StatusCode::kInvalidArgument, "text has 1 tokens: want 2");
  message.set_text(std::string(4096, 'a'));
  const auto request = DecodeScore(message, model_);
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->kind, Request::Kind::kScore);
}

TEST_F(RequestCodecTest, TokenizeAndDetokenize) {
  const TinyTokenizer bytes({"\xc3", "\xa9", "x", "<|end|>"});
  ServedModel model = LettersModel(&bytes, nullptr);
  v1::TokenizeRequest tokenize;
  tokenize.set_text("x\xc3\xa9");
  const auto tokens = Tokenize(tokenize, model);
  ASSERT_TRUE(tokens.ok());
  EXPECT_THAT(tokens->token_ids(), ElementsAre(2, 0, 1));
  EXPECT_THAT(tokens->pieces(), ElementsAre("x", "\uFFFD", "\uFFFD"));

  v1::DetokenizeRequest detokenize;
  for (const int id : {2, 0, 1, 25, 3, 0}) detokenize.add_token_ids(id);
  const auto text = Detokenize(detokenize, model);
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(text->text(), "x\xc3\xa9<|end|>\uFFFD");
  detokenize.add_token_ids(28);
  ExpectFault(Detokenize(detokenize, model).status(),
              absl::StatusCode::kInvalidArgument, "token_ids[6] is 28");
}

TEST_F(RequestCodecTest, TheModelDescribesItself) {
  ServedModel model = model_;
  model.step_prices = [] { return StepPrices{1e-3, 2e-6, 3e-6, {4e-6, 5e-6}}; };
  const auto wire = DescribeModel({}, model);
  ASSERT_TRUE(wire.ok()) << wire.status();
  EXPECT_DOUBLE_EQ(wire->step_costs().decode_step(), 1e-3);
  EXPECT_DOUBLE_EQ(wire->step_costs().decode_gflop(), 2e-3);
  EXPECT_DOUBLE_EQ(wire->step_costs().fill_gflop(), 3e-3);
  EXPECT_DOUBLE_EQ(wire->step_costs().sync_product_gflop(), 4e-3);
  EXPECT_DOUBLE_EQ(wire->step_costs().sync_attention_gflop(), 5e-3);
  EXPECT_EQ(wire->name(), "letters");
  EXPECT_EQ(wire->architecture(), "tconstformer");
  EXPECT_EQ(wire->parameters(), 123456789012);
  EXPECT_EQ(wire->vocab_size(), 28);
  EXPECT_EQ(wire->history_window(), 8);
  EXPECT_EQ(wire->generation_window(), 8);
  EXPECT_TRUE(wire->has_tokenizer());
  EXPECT_EQ(wire->eos_token_id(), 27);
  EXPECT_EQ(wire->max_context_tokens(), 4096);
  EXPECT_EQ(wire->max_sessions(), 100);
  EXPECT_EQ(wire->slots(), 4);
  EXPECT_EQ(wire->session_cache_bytes(), 4711);
  EXPECT_FALSE(DescribeModel({}, bare_)->has_tokenizer());
  EXPECT_FALSE(DescribeModel({}, bare_)->has_step_costs());
}

}  // namespace
}  // namespace tlin
