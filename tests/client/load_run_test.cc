// tlin-load against a scripted server.
#include "client/load_run.h"

#include <atomic>
#include <fstream>
#include <future>
#include <iterator>
#include <string>

#include "client/exit_code.h"
#include "client/load_command.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/client/command_runner.h"
#include "tests/client/fake_server.h"

namespace tlin::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

LoadOptions OptionsFor(FakeServer* server) {
  LoadOptions options;
  options.connection.address = server->address();
  options.prompt_tokens = {4, 4};
  return options;
}

LoadResult RunLoad(const LoadOptions& options) {
  return LoadRun(options, *LoadPrompts::Create(options, 100)).Run();
}

TEST(LoadRunTest, ClosedLoopKeepsItsNumberOfStreams) {
  FakeServer server;
  std::atomic<int> running = 0, most = 0, calls = 0;
  server.script.generate = [&](FakeCall& call) {
    const int now = ++running;
    int seen = most;
    while (now > seen && !most.compare_exchange_weak(seen, now)) {
    }
    ++calls;
    call.Send(StartedEvent(4));
    call.Send(ChunkEvent("", {1}));
    call.Send(ChunkEvent("", {2, 3}));
    --running;
    call.Send(FinishedEvent(v1::Finished::LENGTH, 3));
    return FakeEnd{};
  };
  LoadOptions options = OptionsFor(&server);
  options.concurrency = 8;
  options.requests = 100;
  const LoadResult result = RunLoad(options);
  EXPECT_EQ(calls, 100);
  EXPECT_LE(most, 8);
  EXPECT_EQ(result.started, 100);
  EXPECT_EQ(result.ok, 100);
  EXPECT_THAT(result.outcomes, ElementsAre(Pair("OK", 100)));
  EXPECT_THAT(result.reasons, ElementsAre(Pair("LENGTH", 100)));
  EXPECT_EQ(result.prompt_tokens, 400);
  EXPECT_EQ(result.generated_tokens, 300);
  EXPECT_EQ(result.first_token.count(), 100);
  EXPECT_EQ(result.inter_token.count(), 100);
  EXPECT_EQ(result.total.count(), 100);
  EXPECT_LE(result.first_token.max(), result.total.max());
  EXPECT_FALSE(result.interrupted);
}

TEST(LoadRunTest, OpenLoopDoesNotWaitForAnswers) {
  FakeServer server;
  // Nobody is answered before all have arrived.
  std::atomic<int> calls = 0;
  std::promise<void> all;
  const std::shared_future<void> all_came = all.get_future().share();
  server.script.generate = [&](FakeCall& call) {
    if (++calls == 40) all.set_value();
    all_came.wait();
    call.Send(ChunkEvent("", {1}));
    call.Send(FinishedEvent(v1::Finished::EOS, 1));
    return FakeEnd{};
  };
  LoadOptions options = OptionsFor(&server);
  options.rate = 400;
  options.requests = 40;
  const LoadResult result = RunLoad(options);
  EXPECT_EQ(calls, 40);
  EXPECT_EQ(result.ok, 40);
  // The first had to wait for the last to arrive, and that counts.
  PoissonArrivals arrivals(options.rate, options.seed);
  const absl::Duration first = arrivals.Next();
  absl::Duration last = first;
  for (int i = 1; i < 40; ++i) last = arrivals.Next();
  EXPECT_GE(result.first_token.max(), last - first);
}

TEST(LoadRunTest, LatencyCountsFromTheArrivalNotFromTheSending) {
  FakeServer server;
  LoadOptions options = OptionsFor(&server);
  // All are due within the first microseconds; sending them takes longer.
  options.rate = 1e6;
  options.requests = 50;
  const LoadResult result = RunLoad(options);
  EXPECT_EQ(result.ok, 50);
  EXPECT_GT(result.send_lag.max(), absl::ZeroDuration());
  EXPECT_GE(result.total.max(), result.send_lag.max());
}

TEST(LoadRunTest, TimeEndsIt) {
  FakeServer server;
  LoadOptions options = OptionsFor(&server);
  options.duration = absl::Milliseconds(100);
  const LoadResult closed = RunLoad(options);
  EXPECT_GT(closed.ok, 0);
  options.rate = 200;
  const LoadResult open = RunLoad(options);
  PoissonArrivals arrivals(options.rate, options.seed);
  int64_t due = 0;
  while (arrivals.Next() < options.duration) ++due;
  EXPECT_EQ(open.started, due);
  EXPECT_EQ(open.ok, due);
}

TEST(LoadRunTest, OutcomesByStatus) {
  FakeServer server;
  std::atomic<int> calls = 0;
  server.script.generate = [&](FakeCall& call) {
    const int turn = calls++ % 3;
    if (turn == 0) {
      return FakeEnd{absl::StatusCode::kResourceExhausted, "queue full",
                     RetryDetails(absl::Milliseconds(1))};
    }
    call.Send(ChunkEvent("", {1}));
    if (turn == 1) return FakeEnd{absl::StatusCode::kInternal, "r1", ""};
    call.Send(FinishedEvent(v1::Finished::EOS, 1));
    return FakeEnd{};
  };
  LoadOptions options = OptionsFor(&server);
  options.requests = 9;
  const LoadResult result = RunLoad(options);
  EXPECT_THAT(result.outcomes, ElementsAre(Pair("INTERNAL", 3), Pair("OK", 3),
                                           Pair("RESOURCE_EXHAUSTED", 3)));
  EXPECT_EQ(result.total.count(), 3);
  EXPECT_EQ(result.first_error.code(), absl::StatusCode::kResourceExhausted);
}

TEST(LoadRunTest, AServerThatHangsMeetsTheDeadline) {
  FakeServer server;
  server.script.generate = [](FakeCall& call) {
    call.WaitUntilCancelled();
    return FakeEnd{};
  };
  LoadOptions options = OptionsFor(&server);
  options.concurrency = 3;
  options.requests = 3;
  options.deadline = absl::Milliseconds(50);
  EXPECT_THAT(RunLoad(options).outcomes,
              ElementsAre(Pair("DEADLINE_EXCEEDED", 3)));
}

class LoadCommandTest : public ::testing::Test {
 protected:
  int Run(Args args) {
    args.push_back("--address=" + server_.address());
    return runner_.Run(RunLoadCommand, args);
  }
  FakeServer server_;
  CommandRunner runner_;
};

TEST_F(LoadCommandTest, TableAndJson) {
  const std::string file = ::testing::TempDir() + "/load.json";
  EXPECT_EQ(Run({"--requests=5", "--json=" + file}), kExitOk);
  EXPECT_THAT(runner_.out.str(), HasSubstr("outcomes    OK 5\n"));
  EXPECT_THAT(runner_.out.str(), HasSubstr("first token"));
  std::ifstream in(file);
  const auto json = nlohmann::json::parse(
      std::string(std::istreambuf_iterator<char>(in), {}));
  EXPECT_EQ(json["requests_ok"], 5);
  EXPECT_EQ(json["outcomes"]["OK"], 5);
  EXPECT_EQ(json["latency_seconds"]["first_token"]["count"], 5);
  EXPECT_EQ(json["options"]["concurrency"], 1);

  EXPECT_EQ(Run({"--requests=2", "--rate=1000", "--json=-"}), kExitOk);
  const auto other = nlohmann::json::parse(runner_.out.str());
  EXPECT_EQ(other["options"]["rate"], 1000);
  EXPECT_EQ(Run({"--requests=1", "--json=/nonexistent/x"}), kExitOutput);
}

TEST_F(LoadCommandTest, CtrlCEndsItWithItsFigures) {
  server_.script.generate = [this](FakeCall& call) {
    call.Send(StartedEvent(1));
    runner_.interrupt.Fire();
    call.WaitUntilCancelled();
    return FakeEnd{};
  };
  EXPECT_EQ(Run({"--requests=1000000", "--concurrency=4"}), kExitInterrupted);
  EXPECT_THAT(runner_.out.str(), HasSubstr("(interrupted)"));
  EXPECT_THAT(runner_.out.str(), HasSubstr("CANCELLED"));
}

TEST_F(LoadCommandTest, ExitCodes) {
  server_.script.generate = [](FakeCall&) {
    return FakeEnd{absl::StatusCode::kResourceExhausted, "queue full", ""};
  };
  EXPECT_EQ(Run({"--requests=1"}), kExitRefused);
  EXPECT_EQ(Run({"--requests=x"}), kExitUsage);
  EXPECT_EQ(Run({"--requests=1", "--prompts=/nonexistent"}), kExitUsage);
  EXPECT_EQ(runner_.Run(RunLoadCommand,
                        {"--requests=1", "--address=" + UnusedAddress()}),
            kExitUnavailable);
}

}  // namespace
}  // namespace tlin::client
