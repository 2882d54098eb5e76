// The commands that answer at once.
#include "client/commands.h"

#include <cmath>
#include <fstream>
#include <limits>
#include <string>

#include "client/exit_code.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/client/command_runner.h"
#include "tests/client/fake_server.h"

namespace tlin::client {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class CommandsTest : public ::testing::Test {
 protected:
  int Run(Args args) {
    args.push_back("--address=" + server_.address());
    return runner_.Run(RunTlin, args);
  }
  std::string out() const { return runner_.out.str(); }
  std::string err() const { return runner_.err.str(); }
  nlohmann::json Json() const { return nlohmann::json::parse(out()); }

  FakeServer server_;
  CommandRunner runner_;
};

FakeEnd ScoreTwo(const v1::ScoreRequest&, v1::ScoreResponse* response) {
  for (int32_t id : {98, 99}) {
    v1::TokenLogprobs* token = response->add_tokens();
    token->set_token_id(id);
    token->set_logprob(-1.5);
    token->set_rank(2);
  }
  response->set_negative_log_likelihood(3);
  response->set_perplexity(std::exp(1.5));
  return {};
}

TEST_F(CommandsTest, ScoreTable) {
  server_.script.score = ScoreTwo;
  EXPECT_EQ(Run({"score", "abc"}), kExitOk);
  EXPECT_EQ(
      out(),
      "   token     logprob    rank  text\n"
      "      98     -1.5000       2  \"b\"\n"
      "      99     -1.5000       2  \"c\"\n"
      "2 tokens, negative log-likelihood 3.0000 nats, perplexity 4.4817\n");
  EXPECT_EQ(Run({"score", "--token_ids=97,98,99"}), kExitOk);
  EXPECT_THAT(out(), Not(HasSubstr("text")));
}

TEST_F(CommandsTest, ScoreJson) {
  server_.script.score = ScoreTwo;
  EXPECT_EQ(Run({"score", "abc", "--json"}), kExitOk);
  EXPECT_EQ(Json()["tokens"].size(), 2u);
  EXPECT_EQ(Json()["tokens"][1]["token_id"], 99);
  EXPECT_EQ(Json()["negative_log_likelihood"], 3);
}

TEST_F(CommandsTest, ScoreOfAnInfinitelyUnlikelyTokenIsStillJson) {
  server_.script.score = [](const v1::ScoreRequest&, v1::ScoreResponse* r) {
    r->set_perplexity(std::numeric_limits<double>::infinity());
    return FakeEnd{};
  };
  EXPECT_EQ(Run({"score", "abc", "--json"}), kExitOk);
  EXPECT_TRUE(Json()["perplexity"].is_null());
}

TEST_F(CommandsTest, TokenizeBothWays) {
  EXPECT_EQ(Run({"tokenize", "ab"}), kExitOk);
  EXPECT_EQ(out(), "97 98\n");
  EXPECT_EQ(Run({"tokenize", "a\n", "--pieces"}), kExitOk);
  EXPECT_EQ(out(), "      97  \"a\"\n      10  \"\\n\"\n");
  EXPECT_EQ(Run({"tokenize", "ab", "--json"}), kExitOk);
  EXPECT_EQ(out(), "{\"token_ids\":[97,98],\"pieces\":[\"a\",\"b\"]}\n");
  EXPECT_EQ(Run({"tokenize", "--decode", "97", "98,99"}), kExitOk);
  EXPECT_EQ(out(), "abc");
  runner_.in.str("100 101\n");
  EXPECT_EQ(Run({"tokenize", "--decode", "--json"}), kExitOk);
  EXPECT_EQ(out(), "{\"text\":\"de\"}\n");
  EXPECT_EQ(Run({"tokenize", "--decode", "x"}), kExitUsage);
}

TEST_F(CommandsTest, AModelWithoutTokenizer) {
  server_.script.tokenize = [](const v1::TokenizeRequest&,
                               v1::TokenizeResponse*) {
    return FakeEnd{absl::StatusCode::kFailedPrecondition, "no tokenizer", ""};
  };
  EXPECT_EQ(Run({"tokenize", "ab"}), kExitInvalid);
  EXPECT_EQ(err(), "tlin: FAILED_PRECONDITION: no tokenizer\n");
}

TEST_F(CommandsTest, Model) {
  EXPECT_EQ(Run({"model"}), kExitOk);
  EXPECT_THAT(out(), HasSubstr("name                 fake\n"));
  EXPECT_THAT(out(), HasSubstr("vocab_size           100\n"));
  EXPECT_EQ(Run({"model", "--json"}), kExitOk);
  EXPECT_EQ(Json()["architecture"], "tconstformer");
  EXPECT_EQ(Json().contains("n_layer"), false);
}

TEST_F(CommandsTest, Health) {
  EXPECT_EQ(Run({"health"}), kExitOk);
  EXPECT_EQ(out(), "SERVING\n");
  server_.SetServing("", false);
  EXPECT_EQ(Run({"health", "--json"}), kExitUnavailable);
  EXPECT_EQ(out(), "{\"status\":\"NOT_SERVING\"}\n");
  EXPECT_EQ(Run({"health", "--service=nobody"}), kExitInvalid);
  EXPECT_EQ(runner_.Run(RunHealth, {"--address=" + UnusedAddress()}),
            kExitUnavailable);
}

TEST_F(CommandsTest, WhichCommand) {
  EXPECT_EQ(runner_.Run(RunTlin, {}), kExitUsage);
  EXPECT_EQ(runner_.Run(RunTlin, {"dance"}), kExitUsage);
  EXPECT_THAT(err(), HasSubstr("'dance': unknown command"));
  EXPECT_EQ(runner_.Run(RunTlin, {"--help"}), kExitOk);
  for (const char* name :
       {"generate", "chat", "score", "tokenize", "model", "plan", "health"}) {
    EXPECT_EQ(runner_.Run(RunTlin, {"--help"}), kExitOk);
    EXPECT_THAT(out(), HasSubstr(name));
    EXPECT_EQ(runner_.Run(RunTlin, {name, "--help"}), kExitOk);
    EXPECT_THAT(out(), HasSubstr("Usage: tlin " + std::string(name)));
    EXPECT_THAT(out(), HasSubstr("Exit codes: 0 ok"));
  }
}

class PlanTest : public CommandsTest {
 protected:
  PlanTest() : folder_(::testing::TempDir()) {
    std::ofstream(folder_ + "/config.json")
        << R"({"architecture":"tconstformer","vocab_size":50257,"n_embd":432,
               "n_head":12,"n_block":2,"block_depth":4,"history_window":256,
               "generation_window":256})";
  }
  const std::string folder_;
};

TEST_F(PlanTest, ASessionOfThe41MModel) {
  EXPECT_EQ(runner_.Run(RunPlan, {"--model=" + folder_, "--json",
                                  "--contexts=1024,1048576"}),
            kExitOk);
  const auto contexts = Json()["contexts"];
  ASSERT_EQ(contexts.size(), 2u);
  // (6 * 256 + 8 * 256) rows of k and v, 432 wide, 2 bytes each.
  EXPECT_EQ(contexts[0]["session_bytes"], 14 * 256 * 2 * 432 * 2);
  EXPECT_EQ(contexts[1]["session_bytes"], contexts[0]["session_bytes"]);
  EXPECT_EQ(contexts[0]["sessions_per_gib"], 173);
  EXPECT_GT(contexts[1]["sync_flop"], contexts[0]["sync_flop"]);
  EXPECT_EQ(runner_.Run(RunPlan, {"--model=" + folder_}), kExitOk);
  EXPECT_THAT(out(), HasSubstr("sessions/GiB"));
}

TEST_F(PlanTest, Errors) {
  EXPECT_EQ(runner_.Run(RunPlan, {}), kExitUsage);
  EXPECT_THAT(err(), HasSubstr("--model: a directory is needed"));
  EXPECT_EQ(runner_.Run(RunPlan, {"--model=/nonexistent"}), kExitUsage);
  EXPECT_THAT(err(), HasSubstr("/nonexistent/config.json"));
  EXPECT_EQ(runner_.Run(RunPlan, {"--model=" + folder_, "--dtype=f8"}),
            kExitUsage);
  EXPECT_THAT(err(), HasSubstr("--dtype: want f32, bf16 or f16, not 'f8'"));
  EXPECT_EQ(runner_.Run(RunPlan, {"--model=" + folder_, "--contexts=0"}),
            kExitUsage);
}

}  // namespace
}  // namespace tlin::client
