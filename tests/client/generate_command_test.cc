// tlin generate against a scripted server: output, figures, every exit code.
#include <sstream>
#include <streambuf>
#include <string>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/str_split.h"
#include "client/commands.h"
#include "client/exit_code.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/client/command_runner.h"
#include "tests/client/fake_server.h"

namespace tlin::client {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class GenerateCommandTest : public ::testing::Test {
 protected:
  int Run(Args args) {
    args.push_back("--address=" + server_.address());
    return runner_.Run(RunGenerate, args);
  }

  // Ends every call at once.
  void EndWith(FakeEnd end) {
    server_.script.generate = [end](FakeCall&) { return end; };
  }

  std::vector<nlohmann::json> Lines() {
    std::vector<nlohmann::json> lines;
    for (absl::string_view line :
         absl::StrSplit(runner_.out.str(), '\n', absl::SkipEmpty())) {
      lines.push_back(nlohmann::json::parse(std::string(line)));
    }
    return lines;
  }

  FakeServer server_;
  CommandRunner runner_;
};

TEST_F(GenerateCommandTest, StreamsTextAndNothingElse) {
  EXPECT_EQ(Run({"Say hello"}), kExitOk);
  EXPECT_EQ(runner_.out.str(), "Hello, world!");
  EXPECT_THAT(runner_.err.str(), IsEmpty());
}

TEST_F(GenerateCommandTest, EndsTheLineOnATerminal) {
  runner_.io.out_is_terminal = true;
  EXPECT_EQ(Run({"Say hello"}), kExitOk);
  EXPECT_EQ(runner_.out.str(), "Hello, world!\n");
}

TEST_F(GenerateCommandTest, EveryFieldIsSentAndOnlyWhatIsGiven) {
  v1::GenerateRequest seen;
  server_.script.generate = [&seen](FakeCall& call) {
    seen = call.request();
    call.Send(FinishedEvent(v1::Finished::LENGTH, 0));
    return FakeEnd{};
  };
  EXPECT_EQ(Run({"x"}), kExitOk);
  EXPECT_EQ(seen.text(), "x");
  EXPECT_FALSE(seen.sampling().has_temperature());
  EXPECT_FALSE(seen.stopping().has_max_new_tokens());
  EXPECT_FALSE(seen.has_priority());

  EXPECT_EQ(Run({"--token_ids=1,2",
                 "--model=m",
                 "--temperature=0",
                 "--top_k=4",
                 "--top_p=0.5",
                 "--min_p=0.25",
                 "--repetition_penalty=2",
                 "--frequency_penalty=-1",
                 "--presence_penalty=3",
                 "--seed=9",
                 "--max_new_tokens=7",
                 "--min_new_tokens=2",
                 "--stop=a",
                 "--stop=b",
                 "--stop_token_ids=5,6",
                 "--ignore_eos",
                 "--include_stop",
                 "--logprobs=3",
                 "--token_ids_only",
                 "--priority=-2",
                 "--bypass_prefix_cache",
                 "--session_id=s",
                 "--json"}),
            kExitOk);
  EXPECT_EQ(seen.ShortDebugString(),
            "model: \"m\" token_ids { ids: 1 ids: 2 } session_id: \"s\" "
            "sampling { temperature: 0 top_k: 4 top_p: 0.5 min_p: 0.25 "
            "repetition_penalty: 2 frequency_penalty: -1 presence_penalty: 3 "
            "seed: 9 } stopping { max_new_tokens: 7 min_new_tokens: 2 stop: "
            "\"a\" stop: \"b\" stop_token_ids: 5 stop_token_ids: 6 ignore_eos: "
            "true include_stop: true } output { logprobs: 3 token_ids_only: "
            "true } priority: -2 bypass_prefix_cache: true");
}

TEST_F(GenerateCommandTest, TextFromStdin) {
  std::string seen;
  server_.script.generate = [&seen](FakeCall& call) {
    seen = call.request().text();
    call.Send(FinishedEvent(v1::Finished::LENGTH, 0));
    return FakeEnd{};
  };
  runner_.in.str("a\nb\n");
  EXPECT_EQ(Run({}), kExitOk);
  EXPECT_EQ(seen, "a\nb\n");
  runner_.in.clear();
  runner_.in.str("c");
  EXPECT_EQ(Run({"-"}), kExitOk);
  EXPECT_EQ(seen, "c");
}

TEST_F(GenerateCommandTest, JsonIsOneObjectAnEvent) {
  server_.script.generate = [](FakeCall& call) {
    call.Send(StartedEvent(3));
    v1::GenerateResponse chunk = ChunkEvent("\"a\"\n", {11});
    v1::TokenLogprobs* token = chunk.mutable_chunk()->add_logprobs();
    token->set_token_id(11);
    token->set_logprob(-0.5);
    token->set_rank(1);
    token->add_top()->set_token_id(11);
    call.Send(chunk);
    call.Send(FinishedEvent(v1::Finished::STOP, 1));
    return FakeEnd{};
  };
  EXPECT_EQ(Run({"x", "--json", "--logprobs=1"}), kExitOk);
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0]["event"], "started");
  EXPECT_EQ(lines[0]["prompt_tokens"], 3);
  EXPECT_EQ(lines[0]["seed"], 7);
  EXPECT_EQ(lines[1]["event"], "chunk");
  EXPECT_EQ(lines[1]["text"], "\"a\"\n");
  EXPECT_EQ(lines[1]["token_ids"], nlohmann::json({11}));
  EXPECT_EQ(lines[1]["logprobs"][0]["logprob"], -0.5);
  EXPECT_EQ(lines[1]["logprobs"][0]["top"][0]["token_id"], 11);
  EXPECT_EQ(lines[2]["event"], "finished");
  EXPECT_EQ(lines[2]["reason"], "STOP");
  EXPECT_EQ(lines[2]["usage"]["generated_tokens"], 1);
}

TEST_F(GenerateCommandTest, JsonEndsWithTheError) {
  EndWith({absl::StatusCode::kResourceExhausted, "queue full",
           RetryDetails(absl::Milliseconds(2500))});
  EXPECT_EQ(Run({"x", "--json"}), kExitRefused);
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0]["event"], "error");
  EXPECT_EQ(lines[0]["code"], "RESOURCE_EXHAUSTED");
  EXPECT_EQ(lines[0]["retry_seconds"], 2.5);
}

TEST_F(GenerateCommandTest, NumbersInsteadOfText) {
  EXPECT_EQ(Run({"x", "--token_ids_only"}), kExitOk);
  EXPECT_EQ(runner_.out.str(), "11 12 13 \n");
}

TEST_F(GenerateCommandTest, VerboseEndsWithFigures) {
  EXPECT_EQ(Run({"x", "--verbose"}), kExitOk);
  EXPECT_THAT(runner_.err.str(),
              HasSubstr("3 prompt tokens (0 cached), 3 generated in "));
  EXPECT_THAT(runner_.err.str(), HasSubstr("first token after "));
  EXPECT_THAT(runner_.err.str(), HasSubstr("; EOS\n"));
}

TEST_F(GenerateCommandTest, ExitCodesOfFailures) {
  const std::vector<std::pair<absl::StatusCode, int>> cases = {
      {absl::StatusCode::kUnavailable, 3},
      {absl::StatusCode::kDeadlineExceeded, 3},
      {absl::StatusCode::kResourceExhausted, 4},
      {absl::StatusCode::kInvalidArgument, 5},
      {absl::StatusCode::kInternal, 6},
      {absl::StatusCode::kUnauthenticated, 7},
  };
  for (const auto& [code, exit] : cases) {
    EndWith({code, "why", RetryDetails(absl::Seconds(2))});
    EXPECT_EQ(Run({"x"}), exit);
    EXPECT_EQ(runner_.err.str(), "tlin: " + absl::StatusCodeToString(code) +
                                     ": why (try again in 2s)\n");
  }
}

TEST_F(GenerateCommandTest, ATruncatedStreamIsAFault) {
  server_.script.generate = [](FakeCall& call) {
    call.Send(StartedEvent(1));
    return FakeEnd{};
  };
  EXPECT_EQ(Run({"x"}), kExitFault);
}

TEST_F(GenerateCommandTest, DeadlineBeforeTheFirstToken) {
  server_.script.generate = [](FakeCall& call) {
    call.WaitUntilCancelled();
    return FakeEnd{};
  };
  EXPECT_EQ(Run({"x", "--deadline=50ms"}), kExitUnavailable);
  EXPECT_THAT(runner_.err.str(), HasSubstr("DEADLINE_EXCEEDED"));
}

TEST_F(GenerateCommandTest, DeadlineMidWay) {
  server_.script.generate = [](FakeCall& call) {
    call.Send(ChunkEvent("half", {1}));
    call.Send(FinishedEvent(v1::Finished::DEADLINE, 1));
    return FakeEnd{};
  };
  EXPECT_EQ(Run({"x"}), kExitUnavailable);
  EXPECT_EQ(runner_.out.str(), "half");
  EXPECT_EQ(runner_.err.str(), "tlin: cut short by its deadline\n");
}

TEST_F(GenerateCommandTest, CtrlC) {
  server_.script.generate = [this](FakeCall& call) {
    call.Send(ChunkEvent("so far", {1}));
    runner_.out.WaitFor("so far");
    EXPECT_TRUE(runner_.interrupt.Fire());
    call.WaitUntilCancelled();
    return FakeEnd{};
  };
  EXPECT_EQ(Run({"x"}), kExitInterrupted);
  EXPECT_FALSE(runner_.interrupt.Fire());
}

TEST_F(GenerateCommandTest, OutputThatCannotBeWrittenCancels) {
  server_.script.generate = [](FakeCall& call) {
    call.Send(ChunkEvent("lost", {1}));
    call.WaitUntilCancelled();
    return FakeEnd{};
  };
  struct FullDisk : std::streambuf {
  } full_disk;  // takes no byte
  std::ostream out(&full_disk);
  Io io{runner_.in, out, runner_.err, runner_.interrupt};
  EXPECT_EQ(RunGenerate({"x", "--address=" + server_.address()}, io),
            kExitOutput);
}

TEST_F(GenerateCommandTest, UsageErrors) {
  const std::vector<std::pair<Args, std::string>> cases = {
      {{"a", "b"}, "'b': one text only; quote it"},
      {{"a", "--token_ids=1"}, "--token_ids: there is a text as well"},
      {{"a\xFF"}, "the text is not UTF-8 at byte 1"},
      {{"a", "--logprobs=1"}, "--logprobs: is shown with --json only"},
      {{"a", "--top_k=x"}, "--top_k: want a whole number, not 'x'"},
      {{"a", "--heat=1"}, "--heat: unknown flag"},
  };
  for (const auto& [args, message] : cases) {
    EXPECT_EQ(Run(args), kExitUsage);
    EXPECT_THAT(runner_.err.str(), HasSubstr("tlin: " + message));
    EXPECT_EQ(absl::c_count(runner_.err.str(), '\n'), 1);
  }
}

}  // namespace
}  // namespace tlin::client
