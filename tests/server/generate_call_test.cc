// Generate over a real channel, its engine played by the test.
#include "server/generate_call.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/rpc_status.h"
#include "grpcpp/client_context.h"
#include "server/pending_chunks.h"
#include "tests/server/fake_engine.h"
#include "tests/server/server_under_test.h"

namespace tlin {
namespace {

using ::testing::HasSubstr;

RequestLimits Limits() { return {28, 4096, 4096, true, 27}; }

v1::GenerateRequest Text(const std::string& text) {
  v1::GenerateRequest request;
  request.set_text(text);
  return request;
}

// The client's side of one call.
struct Client {
  Client(v1::Generation::Stub* stub, const v1::GenerateRequest& request)
      : reader(stub->Generate(&context, request)) {}
  explicit Client(v1::Generation::Stub* stub) : Client(stub, Text("abc")) {}

  bool Read() { return reader->Read(&event); }
  absl::Status Finish() { return client::FromGrpcStatus(reader->Finish()); }

  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReader<v1::GenerateResponse>> reader;
  v1::GenerateResponse event;
};

class GenerateCallTest : public ::testing::Test {
 protected:
  absl::Status StatusOf(const v1::GenerateRequest& request) {
    Client call(server_.stub.get(), request);
    while (call.Read()) {
    }
    return call.Finish();
  }
  double Outcome(const std::string& outcome) {
    return MetricValue(
        ScrapeListener(),
        absl::StrCat("tlin_requests_total{outcome=\"", outcome, "\"}"));
  }
  std::string ScrapeListener();

  FakeEngine engine_{Limits()};
  ServerUnderTest server_{&engine_};
};

std::string GenerateCallTest::ScrapeListener() {
  std::string text;
  for (const auto& family : server_.listener.registry()->Collect()) {
    for (const auto& metric : family.metric) {
      for (const auto& label : metric.label) {
        if (label.name != "outcome") continue;
        absl::StrAppend(&text, family.name, "{outcome=\"", label.value, "\"} ",
                        metric.counter.value, "\n");
      }
    }
  }
  return text;
}

TEST_F(GenerateCallTest, StreamsStartedChunksFinished) {
  Client call(server_.stub.get());
  FakeEngine::Call seen = engine_.Take();
  EXPECT_EQ(seen.request.prompt, (std::vector<TokenId>{0, 1, 2}));
  EXPECT_EQ(seen.request.deadline, absl::InfiniteFuture());
  seen.sink->OnStarted({3, 0, seen.request.sampling.seed});
  ASSERT_TRUE(call.Read());
  EXPECT_EQ(call.event.started().request_id(), seen.request.id);
  EXPECT_EQ(call.event.started().prompt_tokens(), 3);
  EXPECT_EQ(call.event.started().seed(), seen.request.sampling.seed);
  seen.sink->OnChunk({"d", {3}, {}});
  ASSERT_TRUE(call.Read());
  EXPECT_EQ(call.event.chunk().text(), "d");
  seen.sink->OnChunk({"e", {4}, {}});
  Finished finished;
  finished.reason = FinishReason::kEos;
  seen.sink->OnFinished(finished);
  ASSERT_TRUE(call.Read());
  EXPECT_EQ(call.event.chunk().text(), "e");
  ASSERT_TRUE(call.Read());
  EXPECT_EQ(call.event.finished().reason(), v1::Finished::EOS);
  EXPECT_FALSE(call.Read());
  EXPECT_TRUE(call.Finish().ok());
}

TEST_F(GenerateCallTest, SeedsAreDrawnAndDiffer) {
  Client one(server_.stub.get());
  const FakeEngine::Call first = engine_.Take();
  Client two(server_.stub.get());
  const FakeEngine::Call second = engine_.Take();
  EXPECT_NE(first.request.sampling.seed, second.request.sampling.seed);
  EXPECT_NE(first.request.id, second.request.id);
  first.sink->OnError(absl::CancelledError(""));
  second.sink->OnError(absl::CancelledError(""));
}

TEST_F(GenerateCallTest, FieldsOutOfRangeAreInvalidAndNamed) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  using Change = void (*)(v1::GenerateRequest*);
  const std::pair<const char*, Change> table[] = {
      {"input", [](auto* r) { r->clear_input(); }},
      {"text", [](auto* r) { r->set_text(""); }},
      {"token_ids", [](auto* r) { r->mutable_token_ids()->add_ids(28); }},
      {"sampling.temperature",
       [](auto* r) { r->mutable_sampling()->set_temperature(kNan); }},
      {"sampling.temperature",
       [](auto* r) { r->mutable_sampling()->set_temperature(-0.1f); }},
      {"sampling.temperature",
       [](auto* r) { r->mutable_sampling()->set_temperature(kInfinity); }},
      {"sampling.top_k", [](auto* r) { r->mutable_sampling()->set_top_k(-1); }},
      {"sampling.top_p", [](auto* r) { r->mutable_sampling()->set_top_p(0); }},
      {"sampling.top_p",
       [](auto* r) { r->mutable_sampling()->set_top_p(1.01f); }},
      {"sampling.top_p",
       [](auto* r) { r->mutable_sampling()->set_top_p(kNan); }},
      {"sampling.min_p", [](auto* r) { r->mutable_sampling()->set_min_p(-1); }},
      {"sampling.min_p",
       [](auto* r) { r->mutable_sampling()->set_min_p(kNan); }},
      {"sampling.repetition_penalty",
       [](auto* r) { r->mutable_sampling()->set_repetition_penalty(0); }},
      {"sampling.repetition_penalty",
       [](auto* r) { r->mutable_sampling()->set_repetition_penalty(kNan); }},
      {"sampling.frequency_penalty",
       [](auto* r) { r->mutable_sampling()->set_frequency_penalty(101); }},
      {"sampling.presence_penalty",
       [](auto* r) { r->mutable_sampling()->set_presence_penalty(-101); }},
      {"stopping.max_new_tokens",
       [](auto* r) { r->mutable_stopping()->set_max_new_tokens(0); }},
      {"stopping.min_new_tokens",
       [](auto* r) { r->mutable_stopping()->set_min_new_tokens(-1); }},
      {"stopping.min_new_tokens",
       [](auto* r) { r->mutable_stopping()->set_min_new_tokens(257); }},
      {"stopping.stop", [](auto* r) { r->mutable_stopping()->add_stop(""); }},
      {"stopping.stop",
       [](auto* r) { r->mutable_stopping()->add_stop(std::string(257, 'x')); }},
      {"stopping.stop",
       [](auto* r) {
         for (int i = 0; i < 17; ++i) r->mutable_stopping()->add_stop("x");
       }},
      {"stopping.stop_token_ids",
       [](auto* r) { r->mutable_stopping()->add_stop_token_ids(-1); }},
      {"stopping.stop_token_ids",
       [](auto* r) {
         for (int i = 0; i < 129; ++i) {
           r->mutable_stopping()->add_stop_token_ids(1);
         }
       }},
      {"output.logprobs",
       [](auto* r) { r->mutable_output()->set_logprobs(129); }},
      {"output.logprobs",
       [](auto* r) { r->mutable_output()->set_logprobs(-1); }},
      {"text is not valid UTF-8", [](auto* r) { r->set_text("\xff"); }},
      {"stopping.stop is not valid UTF-8",
       [](auto* r) { r->mutable_stopping()->add_stop("a\xc3"); }},
  };
  for (const auto& [field, change] : table) {
    v1::GenerateRequest request = Text("abc");
    change(&request);
    const absl::Status status = StatusOf(request);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << field;
    EXPECT_THAT(std::string(status.message()), HasSubstr(field));
  }
  EXPECT_EQ(Outcome("invalid"), std::size(table));
}

TEST_F(GenerateCallTest, AnUnknownModelIsNotFound) {
  v1::GenerateRequest request = Text("abc");
  request.set_model("gpt");
  EXPECT_EQ(StatusOf(request).code(), absl::StatusCode::kNotFound);
}

TEST_F(GenerateCallTest, RefusalsOfTheEngineTravelWithRetryInfo) {
  engine_.SetRetryDelay(absl::Milliseconds(4250));
  engine_.RefuseWith(absl::ResourceExhaustedError("256 requests wait"));
  absl::Status status = StatusOf(Text("abc"));
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(client::RetryDelay(status), absl::Milliseconds(4250));

  engine_.RefuseWith(absl::UnavailableError("draining"));
  status = StatusOf(Text("abc"));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(client::RetryDelay(status).has_value());

  engine_.RefuseWith(absl::DeadlineExceededError("passed"));
  EXPECT_EQ(StatusOf(Text("abc")).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(Outcome("rejected"), 2);
  EXPECT_EQ(Outcome("deadline"), 1);
}

TEST_F(GenerateCallTest, ErrorsOfAnAcceptedRequestEndTheStream) {
  for (const auto code :
       {absl::StatusCode::kInternal, absl::StatusCode::kDeadlineExceeded,
        absl::StatusCode::kUnavailable}) {
    Client call(server_.stub.get());
    const FakeEngine::Call seen = engine_.Take();
    seen.sink->OnError(absl::Status(code, "why"));
    EXPECT_FALSE(call.Read());
    const absl::Status status = call.Finish();
    EXPECT_EQ(status.code(), code);
    EXPECT_THAT(std::string(status.message()), HasSubstr("why"));
    if (code == absl::StatusCode::kInternal) {
      EXPECT_THAT(std::string(status.message()), HasSubstr(seen.request.id));
    }
  }
}

TEST_F(GenerateCallTest, WhatWasMadeBeforeAnErrorArrives) {
  Client call(server_.stub.get());
  const FakeEngine::Call seen = engine_.Take();
  seen.sink->OnChunk({"d", {3}, {}});
  seen.sink->OnError(absl::InternalError("the model failed"));
  ASSERT_TRUE(call.Read());
  EXPECT_EQ(call.event.chunk().text(), "d");
  EXPECT_FALSE(call.Read());
  EXPECT_EQ(call.Finish().code(), absl::StatusCode::kInternal);
}

TEST_F(GenerateCallTest, CancelReachesTheEngineAndTheCallEndsOnce) {
  Client call(server_.stub.get());
  const FakeEngine::Call seen = engine_.Take();
  seen.sink->OnStarted({3, 0, 1});
  ASSERT_TRUE(call.Read());
  call.context.TryCancel();
  EXPECT_EQ(call.Finish().code(), absl::StatusCode::kCancelled);
  ASSERT_TRUE(engine_.WaitForCancel(seen.request.id));
  EXPECT_FALSE(server_.server->WaitForCalls(absl::ZeroDuration()))
      << "the call lives until the engine's last word";
  seen.sink->OnChunk({"too late", {3}, {}});
  seen.sink->OnError(absl::CancelledError("the client went away"));
  EXPECT_TRUE(server_.server->WaitForCalls(absl::Minutes(1)));
  ASSERT_EQ(server_.logger.lines().size(), 1u);
  EXPECT_THAT(server_.logger.lines()[0],
              HasSubstr("\"prompt_tokens\":3,\"generated_tokens\":1"))
      << "the log says what was done for nobody";
}

TEST_F(GenerateCallTest, CancelRacesWithFinish) {
  for (int i = 0; i < 200; ++i) {
    Client call(server_.stub.get());
    const FakeEngine::Call seen = engine_.Take();
    seen.sink->OnStarted({3, 0, 1});
    ASSERT_TRUE(call.Read());
    std::thread cancels([&] { call.context.TryCancel(); });
    seen.sink->OnChunk({"d", {3}, {}});
    if (i % 2 == 0) {
      seen.sink->OnFinished({});
    } else {
      seen.sink->OnError(absl::CancelledError(""));
    }
    cancels.join();
    while (call.Read()) {
    }
    const absl::Status status = call.Finish();
    EXPECT_TRUE(status.ok() || absl::IsCancelled(status)) << status;
  }
  EXPECT_TRUE(server_.server->WaitForCalls(absl::Minutes(1)));
}

TEST_F(GenerateCallTest, TheClientsDeadlineReachesTheEngineAndIsEarlier) {
  grpc::ClientContext context;
  const absl::Time begin = server_.clock.Now();
  context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Hours(1)));
  auto reader = server_.stub->Generate(&context, Text("abc"));
  const FakeEngine::Call seen = engine_.Take();
  EXPECT_GT(seen.request.deadline, begin + absl::Minutes(59));
  EXPECT_LT(seen.request.deadline, server_.clock.Now() + absl::Hours(1));
  Finished finished;
  finished.reason = FinishReason::kDeadline;
  seen.sink->OnFinished(finished);
  v1::GenerateResponse event;
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_EQ(event.finished().reason(), v1::Finished::DEADLINE);
  EXPECT_FALSE(reader->Read(&event));
  EXPECT_TRUE(reader->Finish().ok());
}

TEST_F(GenerateCallTest, AReaderWhoStallsGetsFewLongChunksAndDelaysNobody) {
  Client slow(server_.stub.get());
  const FakeEngine::Call stalled = engine_.Take();
  stalled.sink->OnStarted({3, 0, 1});
  // Some 12 MB, far beyond what the transport takes on: a token costs the
  // engine the same whether anybody reads or not.
  const std::string text(200, 'x');
  constexpr int kTokens = 60'000;
  for (int i = 0; i < kTokens; ++i) {
    stalled.sink->OnChunk({text, {i % 28}, {}});
  }
  stalled.sink->OnFinished({});

  Client quick(server_.stub.get());
  const FakeEngine::Call other = engine_.Take();
  other.sink->OnStarted({3, 0, 1});
  other.sink->OnChunk({"d", {3}, {}});
  other.sink->OnFinished({});
  int events = 0;
  while (quick.Read()) ++events;
  EXPECT_EQ(events, 3);
  EXPECT_TRUE(quick.Finish().ok());

  size_t bytes = 0;
  int tokens = 0;
  int messages = 0;
  bool finished = false;
  while (slow.Read()) {
    ++messages;
    bytes += slow.event.chunk().text().size();
    for (const int id : slow.event.chunk().token_ids()) {
      ASSERT_EQ(id, tokens++ % 28) << "nothing is lost or out of order";
    }
    ASSERT_LT(slow.event.ByteSizeLong(), 2 * PendingChunks::kMaxChunkBytes);
    finished = slow.event.has_finished();
  }
  EXPECT_TRUE(finished);
  EXPECT_EQ(tokens, kTokens);
  EXPECT_EQ(bytes, text.size() * kTokens);
  // Token by token until the transport is full, then in long chunks.
  EXPECT_LT(messages, kTokens / 10);
  EXPECT_TRUE(slow.Finish().ok());
}

TEST_F(GenerateCallTest, AStalledReaderWhoLeavesIsLetGo) {
  Client call(server_.stub.get());
  const FakeEngine::Call seen = engine_.Take();
  const std::string text(1000, 'x');
  for (int i = 0; i < 5'000; ++i) seen.sink->OnChunk({text, {1}, {}});
  call.context.TryCancel();
  ASSERT_TRUE(engine_.WaitForCancel(seen.request.id));
  seen.sink->OnError(absl::CancelledError(""));
  EXPECT_TRUE(server_.server->WaitForCalls(absl::Minutes(1)));
}

TEST(LoadingTest, CallsAreUnavailableUntilTheModelIsThere) {
  FakeEngine engine{Limits()};
  ServerUnderTest server;
  {
    Client call(server.stub.get());
    EXPECT_FALSE(call.Read());
    const absl::Status status = call.Finish();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_TRUE(client::RetryDelay(status).has_value());
  }
  server.Load(&engine);
  Client call(server.stub.get());
  engine.Take().sink->OnFinished({});
  EXPECT_TRUE(call.Read());
  EXPECT_FALSE(call.Read());
  EXPECT_TRUE(call.Finish().ok());
}

}  // namespace
}  // namespace tlin
