// What a person at a terminal sees while and after waiting.
#include "client/answer.h"

#include <chrono>
#include <sstream>
#include <string>

#include "client/waiting_line.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/command_runner.h"
#include "tests/client/fake_server.h"
#include "tests/client/watched_stream.h"

namespace tlin::client {
namespace {

using ::testing::EndsWith;

TEST(WaitingLineTest, ShowsPromptTokensAndClearsTheLine) {
  WatchedStream terminal;
  WaitingLine line(&terminal, std::chrono::milliseconds(0));
  line.SetPromptTokens(1234);
  terminal.WaitFor("first token (1234 prompt tokens): ");
  line.Stop();
  EXPECT_THAT(terminal.str(), EndsWith(" s\r\x1b[K"));
}

TEST(WaitingLineTest, ShortWaitsShowNothing) {
  std::ostringstream terminal;
  {
    WaitingLine line(&terminal, std::chrono::hours(1));
    line.Stop();
    line.Stop();
  }
  EXPECT_EQ(terminal.str(), "");
}

TEST(AskTest, ALongPromptShowsTheWaitOnATerminal) {
  FakeServer server;
  CommandRunner runner;
  runner.io.err_is_terminal = true;
  server.script.generate = [&runner](FakeCall& call) {
    call.Send(StartedEvent(5000));
    runner.err.WaitFor("(5000 prompt tokens)");
    call.Send(ChunkEvent("a", {1}));
    call.Send(FinishedEvent(v1::Finished::LENGTH, 1));
    return FakeEnd{};
  };
  Client client(server.address());
  std::string when_shown;
  const Answer answer =
      Ask({}, {}, &client, runner.io, [&](const v1::GenerateResponse& event) {
        if (event.has_chunk()) when_shown = runner.err.str();
        return true;
      });
  EXPECT_TRUE(answer.status.ok());
  // The line is gone before the first text comes.
  EXPECT_THAT(when_shown, EndsWith("\r\x1b[K"));
  EXPECT_EQ(runner.err.str(), when_shown);
}

TEST(SummaryTest, Figures) {
  Answer answer;
  answer.started.set_prompt_tokens(10);
  answer.started.set_cached_tokens(4);
  answer.finished.set_reason(v1::Finished::LENGTH);
  answer.tokens = 21;
  answer.tokens_of_first_chunk = 1;
  answer.first_token = absl::Milliseconds(500);
  answer.total = absl::Milliseconds(2500);
  EXPECT_EQ(Summary(answer),
            "10 prompt tokens (4 cached), 21 generated in 2.500 s; first token "
            "after 500.0 ms, then 10.0 tokens/s; LENGTH");
  EXPECT_EQ(Summary(Answer()),
            "0 prompt tokens (0 cached), 0 generated in 0.000 s");
}

}  // namespace
}  // namespace tlin::client
