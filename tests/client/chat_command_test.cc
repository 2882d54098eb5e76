#include <mutex>
#include <string>
#include <vector>

#include "client/commands.h"
#include "client/exit_code.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/command_runner.h"
#include "tests/client/fake_server.h"

namespace tlin::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The n-th call gets the n-th of `answers`, then "more".
class ChatCommandTest : public ::testing::Test {
 protected:
  ChatCommandTest() {
    server_.script.generate = [this](FakeCall& call) {
      prompts_.push_back(call.request().text());
      stops_ = {call.request().stopping().stop().begin(),
                call.request().stopping().stop().end()};
      const size_t turn = prompts_.size() - 1;
      if (turn == fails_at_) {
        return FakeEnd{absl::StatusCode::kResourceExhausted, "queue full", ""};
      }
      call.Send(StartedEvent(1));
      call.Send(ChunkEvent(" answer " + std::to_string(turn) + " ", {1}));
      if (turn == interrupted_at_) {
        runner_.out.WaitFor("answer");
        EXPECT_TRUE(runner_.interrupt.Fire());
        call.WaitUntilCancelled();
        return FakeEnd{};
      }
      call.Send(FinishedEvent(v1::Finished::STOP, 1));
      return FakeEnd{};
    };
  }

  int Run(const std::string& lines, Args args) {
    runner_.in.str(lines);
    args.push_back("--address=" + server_.address());
    return runner_.Run(RunChat, args);
  }

  FakeServer server_;
  CommandRunner runner_;
  // Calls come one after the other.
  std::vector<std::string> prompts_;
  std::vector<std::string> stops_;
  size_t fails_at_ = 99;
  size_t interrupted_at_ = 99;
};

TEST_F(ChatCommandTest, SendsTheConversationSoFar) {
  EXPECT_EQ(Run("Hi\n\nBye\n", {"--system=Be kind."}), kExitOk);
  EXPECT_THAT(prompts_, ElementsAre("Be kind.\nUser: Hi\nAssistant:",
                                    "Be kind.\nUser: Hi\nAssistant: answer 0\n"
                                    "User: Bye\nAssistant:"));
  EXPECT_THAT(stops_, ElementsAre("\nUser:"));
  EXPECT_EQ(runner_.out.str(), " answer 0 \n answer 1 \n");
  EXPECT_EQ(runner_.err.str(), "");
}

TEST_F(ChatCommandTest, NamesAndPromptOnATerminal) {
  runner_.io.in_is_terminal = true;
  EXPECT_EQ(Run("Hi\n", {"--user=Q:", "--assistant=A:", "--stop=x"}), kExitOk);
  EXPECT_THAT(prompts_, ElementsAre("Q: Hi\nA:"));
  EXPECT_THAT(stops_, ElementsAre("x", "\nQ:"));
  EXPECT_EQ(runner_.err.str(), "> > \n");
}

TEST_F(ChatCommandTest, CtrlCInterruptsTheAnswerAndTheChatGoesOn) {
  runner_.io.in_is_terminal = true;
  interrupted_at_ = 0;
  EXPECT_EQ(Run("Hi\nBye\n", {}), kExitOk);
  EXPECT_THAT(prompts_, ElementsAre("User: Hi\nAssistant:",
                                    "User: Hi\nAssistant: answer 0\n"
                                    "User: Bye\nAssistant:"));
}

TEST_F(ChatCommandTest, AFailedTurnLeavesNoTrace) {
  runner_.io.in_is_terminal = true;
  fails_at_ = 0;
  EXPECT_EQ(Run("Hi\nBye\n", {}), kExitOk);
  EXPECT_THAT(prompts_,
              ElementsAre("User: Hi\nAssistant:", "User: Bye\nAssistant:"));
  EXPECT_THAT(runner_.err.str(), HasSubstr("RESOURCE_EXHAUSTED: queue full"));
}

TEST_F(ChatCommandTest, AScriptIsToldOfAFailure) {
  fails_at_ = 1;
  EXPECT_EQ(Run("a\nb\nc\n", {}), kExitRefused);
  EXPECT_EQ(prompts_.size(), 2u);
}

TEST_F(ChatCommandTest, BadInput) {
  EXPECT_EQ(Run("a\xFF\n", {}), kExitUsage);
  EXPECT_EQ(Run("", {"text"}), kExitUsage);
  EXPECT_THAT(runner_.err.str(), HasSubstr("'text': only flags"));
}

}  // namespace
}  // namespace tlin::client
