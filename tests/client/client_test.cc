#include "client/client.h"

#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "client/rpc_status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/fake_server.h"

namespace tlin::client {
namespace {

v1::GenerateRequest TextRequest(const std::string& text) {
  v1::GenerateRequest request;
  request.set_text(text);
  return request;
}

TEST(ClientTest, StreamsEventsInOrder) {
  FakeServer server;
  Client client(server.address());
  const auto stream = client.Generate(TextRequest("x"));
  v1::GenerateResponse event;
  ASSERT_TRUE(stream->Next(&event));
  EXPECT_EQ(event.started().prompt_tokens(), 3);
  std::string text;
  while (stream->Next(&event)) text += event.chunk().text();
  EXPECT_EQ(text, "Hello, world!");
  EXPECT_EQ(event.finished().reason(), v1::Finished::EOS);
  EXPECT_FALSE(stream->Next(&event));
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_TRUE(stream->Finish().ok());
}

TEST(ClientTest, StreamOutlivesItsClient) {
  FakeServer server;
  std::promise<void> gone;
  server.script.generate = [&](FakeCall& call) {
    gone.get_future().wait();
    call.Send(FinishedEvent(v1::Finished::EOS, 0));
    return FakeEnd{};
  };
  auto client = std::make_unique<Client>(server.address());
  const auto stream = client->Generate(TextRequest("x"));
  client.reset();
  gone.set_value();
  v1::GenerateResponse event;
  EXPECT_TRUE(stream->Next(&event));
  EXPECT_FALSE(stream->Next(&event));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST(ClientTest, CancelEndsABlockedNext) {
  FakeServer server;
  std::promise<void> cancelled;
  server.script.generate = [&](FakeCall& call) {
    call.Send(StartedEvent(1));
    call.WaitUntilCancelled();
    cancelled.set_value();
    return FakeEnd{};
  };
  Client client(server.address());
  const auto stream = client.Generate(TextRequest("x"));
  v1::GenerateResponse event;
  ASSERT_TRUE(stream->Next(&event));
  std::thread canceller([&] { stream->Cancel(); });
  EXPECT_FALSE(stream->Next(&event));
  canceller.join();
  EXPECT_EQ(stream->Finish().code(), absl::StatusCode::kCancelled);
  cancelled.get_future().wait();
}

TEST(ClientTest, DroppingAStreamCancelsIt) {
  FakeServer server;
  std::promise<void> cancelled;
  server.script.generate = [&](FakeCall& call) {
    call.Send(StartedEvent(1));
    call.WaitUntilCancelled();
    cancelled.set_value();
    return FakeEnd{};
  };
  Client client(server.address());
  {
    const auto stream = client.Generate(TextRequest("x"));
    v1::GenerateResponse event;
    ASSERT_TRUE(stream->Next(&event));
  }
  cancelled.get_future().wait();
}

TEST(ClientTest, TheServerSeesTheDeadlineAndItEndsTheCall) {
  FakeServer server;
  std::promise<absl::Duration> left;
  server.script.generate = [&](FakeCall& call) {
    left.set_value(call.time_left());
    call.WaitUntilCancelled();
    return FakeEnd{};
  };
  Client client(server.address());
  const auto stream =
      client.Generate(TextRequest("x"), {.deadline = absl::Milliseconds(200)});
  v1::GenerateResponse event;
  EXPECT_FALSE(stream->Next(&event));
  EXPECT_EQ(stream->Finish().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_LE(left.get_future().get(), absl::Milliseconds(201));
}

TEST(ClientTest, CarriesCodeMessageAndRetryDelay) {
  FakeServer server;
  server.script.generate = [](FakeCall&) {
    return FakeEnd{absl::StatusCode::kResourceExhausted, "queue full",
                   RetryDetails(absl::Milliseconds(1500))};
  };
  Client client(server.address());
  const auto stream = client.Generate(TextRequest("x"));
  v1::GenerateResponse event;
  EXPECT_FALSE(stream->Next(&event));
  EXPECT_EQ(stream->Finish().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(stream->Finish().message(), "queue full");
  EXPECT_EQ(RetryDelay(stream->Finish()), absl::Milliseconds(1500));
}

TEST(ClientTest, BadDetailsLeaveCodeAndMessage) {
  FakeServer server;
  server.script.score = [](const v1::ScoreRequest&, v1::ScoreResponse*) {
    return FakeEnd{absl::StatusCode::kInvalidArgument, "text: empty",
                   "\xFF\xFF not a message"};
  };
  Client client(server.address());
  const absl::Status status = client.Score({}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "text: empty");
  EXPECT_EQ(RetryDelay(status), std::nullopt);
}

TEST(ClientTest, UnaryCalls) {
  FakeServer server;
  Client client(server.address());
  v1::TokenizeRequest tokenize;
  tokenize.set_text("ab");
  const auto tokens = client.Tokenize(tokenize);
  ASSERT_TRUE(tokens.ok());
  EXPECT_THAT(tokens->token_ids(), ::testing::ElementsAre(97, 98));
  v1::DetokenizeRequest detokenize;
  detokenize.add_token_ids(99);
  EXPECT_EQ(client.Detokenize(detokenize)->text(), "c");
  EXPECT_EQ(client.GetModel()->name(), "fake");
}

TEST(ClientTest, NobodyListens) {
  Client client(UnusedAddress());
  EXPECT_EQ(client.GetModel().status().code(), absl::StatusCode::kUnavailable);
}

TEST(ClientTest, HealthOfServerAndServices) {
  FakeServer server;
  Client client(server.address());
  EXPECT_EQ(*client.CheckHealth(), Health::kServing);
  server.SetServing("tlin.v1.Generation", false);
  EXPECT_EQ(*client.CheckHealth("tlin.v1.Generation"), Health::kNotServing);
  EXPECT_EQ(client.CheckHealth("nobody").status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace tlin::client
