// Converse over a real channel, of the real engine over a puppet model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/rpc_status.h"
#include "engine/engine.h"
#include "grpcpp/client_context.h"
#include "tests/server/server_under_test.h"
#include "tests/testing/puppet_model.h"
#include "tlin/v1/sessions.grpc.pb.h"

namespace tlin {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ConverseTest : public ::testing::Test {
 protected:
  ConverseTest() {
    engine_ =
        Engine::Create({}, &puppet_, &server_.tokenizer, std::nullopt,
                       &server_.listener, &server_.clock, &server_.logger);
    engine_->Start();
    server_.Load(engine_.get());
    sessions_ = v1::Sessions::NewStub(server_.NewChannel());
  }
  ~ConverseTest() override {
    puppet_.Release();
    engine_->Stop();
    server_.server.reset();
    EXPECT_THAT(puppet_.faults, IsEmpty());
  }

  // One stream, used by one thread.
  class Stream {
   public:
    explicit Stream(v1::Generation::Stub* stub)
        : stream_(stub->Converse(&context_)) {}

    void Open(const std::string& session, int32_t max_new_tokens = 5) {
      v1::ConverseRequest request;
      request.mutable_open()->set_session_id(session);
      request.mutable_open()->mutable_sampling()->set_seed(1);
      request.mutable_open()->mutable_stopping()->set_max_new_tokens(
          max_new_tokens);
      stream_->Write(request);
    }
    void Say(const std::string& text) {
      v1::ConverseRequest request;
      request.mutable_input()->set_text(text);
      stream_->Write(request);
    }
    void Interrupt() {
      v1::ConverseRequest request;
      request.mutable_interrupt();
      stream_->Write(request);
    }
    void Write(const v1::ConverseRequest& request) { stream_->Write(request); }
    void WritesDone() { stream_->WritesDone(); }
    void Cancel() { context_.TryCancel(); }

    // The next event; one that is none where the stream has ended.
    v1::ConverseResponse Next() {
      v1::ConverseResponse event;
      if (!stream_->Read(&event)) event.Clear();
      return event;
    }
    // A turn's events, to its Finished.
    struct Turn {
      v1::Started started;
      std::vector<TokenId> token_ids;
      v1::Finished finished;
    };
    Turn NextTurn() {
      Turn turn;
      for (;;) {
        const v1::ConverseResponse event = Next();
        if (event.has_started()) turn.started = event.started();
        for (const TokenId id : event.chunk().token_ids()) {
          turn.token_ids.push_back(id);
        }
        if (event.has_finished()) turn.finished = event.finished();
        if (event.has_finished() ||
            event.event_case() == v1::ConverseResponse::EVENT_NOT_SET) {
          return turn;
        }
      }
    }
    absl::Status Finish() {
      v1::ConverseResponse event;
      while (stream_->Read(&event)) {
      }
      return client::FromGrpcStatus(stream_->Finish());
    }

   private:
    grpc::ClientContext context_;
    std::unique_ptr<
        grpc::ClientReaderWriter<v1::ConverseRequest, v1::ConverseResponse>>
        stream_;
  };

  Stream NewStream() { return Stream(server_.stub.get()); }

  absl::Status Generate(const std::string& session) {
    grpc::ClientContext context;
    v1::GenerateRequest request;
    request.set_session_id(session);
    request.set_text("abc");
    request.mutable_stopping()->set_max_new_tokens(2);
    const auto stream = server_.stub->Generate(&context, request);
    v1::GenerateResponse event;
    while (stream->Read(&event)) {
    }
    return client::FromGrpcStatus(stream->Finish());
  }
  int64_t Tokens(const std::string& session) {
    grpc::ClientContext context;
    v1::GetSessionRequest request;
    request.set_session_id(session);
    v1::Session answer;
    EXPECT_TRUE(sessions_->GetSession(&context, request, &answer).ok());
    return answer.tokens();
  }

  PuppetModel puppet_{{}};
  ServerUnderTest server_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<v1::Sessions::Stub> sessions_;
};

TEST_F(ConverseTest, TurnAfterTurn) {
  Stream stream = NewStream();
  stream.Open("talk");
  const v1::ConverseResponse opened = stream.Next();
  EXPECT_EQ(opened.opened().session_id(), "talk");
  EXPECT_EQ(opened.opened().tokens(), 0);
  int64_t tokens = 0;
  for (int turn = 0; turn < 5; ++turn) {
    stream.Say("abcdefg");
    const Stream::Turn answer = stream.NextTurn();
    EXPECT_EQ(answer.started.session_id(), "talk");
    EXPECT_EQ(answer.started.prompt_tokens(), tokens + 7);
    EXPECT_EQ(answer.started.cached_tokens(), turn == 0 ? 0 : tokens - 1);
    EXPECT_FALSE(answer.started.request_id().empty());
    EXPECT_EQ(answer.token_ids.size(), 5);
    EXPECT_EQ(answer.finished.reason(), v1::Finished::LENGTH);
    tokens += 12;
  }
  stream.WritesDone();
  EXPECT_TRUE(stream.Finish().ok());
  EXPECT_EQ(Tokens("talk"), 60) << "it stays";

  Stream again = NewStream();
  again.Open("talk");
  EXPECT_EQ(again.Next().opened().tokens(), 60);
  again.WritesDone();
  EXPECT_TRUE(again.Finish().ok());
}

TEST_F(ConverseTest, SaysWhatGenerateSays) {
  Stream stream = NewStream();
  stream.Open("");
  EXPECT_THAT(stream.Next().opened().session_id(), HasSubstr("session-"));
  stream.Say("abcdefghijklm");
  const Stream::Turn turn = stream.NextTurn();
  grpc::ClientContext context;
  v1::GenerateRequest request;
  request.set_text("abcdefghijklm");
  request.mutable_sampling()->set_seed(1);
  request.mutable_stopping()->set_max_new_tokens(5);
  const auto plain = server_.stub->Generate(&context, request);
  std::vector<TokenId> ids;
  v1::GenerateResponse event;
  while (plain->Read(&event)) {
    for (const TokenId id : event.chunk().token_ids()) ids.push_back(id);
  }
  EXPECT_TRUE(plain->Finish().ok());
  EXPECT_EQ(turn.token_ids, ids);
}

TEST_F(ConverseTest, InputsThatComeEarlyWaitTheirTurn) {
  Stream stream = NewStream();
  stream.Open("a");
  for (int i = 0; i < 10; ++i) stream.Say("abc");
  stream.WritesDone();
  EXPECT_TRUE(stream.Next().has_opened());
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(stream.NextTurn().started.prompt_tokens(), 8 * i + 3);
  }
  EXPECT_TRUE(stream.Finish().ok());
}

TEST_F(ConverseTest, AnInterruptFinishesTheTurnAndTheNextGoesOn) {
  Stream stream = NewStream();
  stream.Open("a", 4000);
  EXPECT_TRUE(stream.Next().has_opened());
  stream.Interrupt();  // nothing runs: nothing happens
  stream.Say("abc");
  EXPECT_TRUE(stream.Next().has_started());
  stream.Interrupt();
  const Stream::Turn turn = stream.NextTurn();
  EXPECT_EQ(turn.finished.reason(), v1::Finished::INTERRUPTED);
  const int64_t made = turn.finished.usage().generated_tokens();
  v1::ConverseRequest next;
  next.mutable_input()->set_text("de");
  next.mutable_input()->mutable_stopping()->set_max_new_tokens(3);
  stream.Write(next);
  const Stream::Turn second = stream.NextTurn();
  EXPECT_EQ(second.started.prompt_tokens(), 3 + made + 2);
  EXPECT_EQ(second.token_ids.size(), 3);
  stream.WritesDone();
  EXPECT_TRUE(stream.Finish().ok());
}

TEST_F(ConverseTest, TheSessionIsBoundToTheStream) {
  {
    Stream stream = NewStream();
    stream.Open("a");
    EXPECT_TRUE(stream.Next().has_opened());
    const absl::Status status = Generate("a");
    EXPECT_TRUE(absl::IsFailedPrecondition(status));
    EXPECT_THAT(std::string(status.message()), HasSubstr("conversation"));
    Stream second = NewStream();
    second.Open("a");
    EXPECT_TRUE(absl::IsFailedPrecondition(second.Finish()));
    stream.WritesDone();
    EXPECT_TRUE(stream.Finish().ok());
  }
  // It is let go with the stream: soon after the client has seen its end.
  ASSERT_TRUE(server_.server->WaitForCalls(absl::Minutes(1)));
  EXPECT_TRUE(Generate("a").ok());
}

TEST_F(ConverseTest, WhatIsWrongEndsTheStream) {
  const auto refused = [&](auto write) {
    Stream stream = NewStream();
    write(&stream);
    return stream.Finish();
  };
  absl::Status status = refused([](Stream* s) { s->Say("abc"); });
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("before open"));
  status = refused([](Stream* s) {
    s->Open("a");
    s->Open("a");
  });
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  status = refused([](Stream* s) { s->Write({}); });
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("command"));
  status = refused([](Stream* s) { s->Open("a/b"); });
  EXPECT_THAT(std::string(status.message()), HasSubstr("open.session_id"));
  status = refused([](Stream* s) {
    s->Open("b");
    s->Say("");
  });
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  status = refused([](Stream* s) {
    s->Open("c", -1);
    s->Say("abc");
  });
  EXPECT_THAT(std::string(status.message()), HasSubstr("max_new_tokens"));
  status = refused([](Stream* s) {
    v1::ConverseRequest request;
    request.mutable_open()->set_model("gpt");
    s->Write(request);
  });
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_TRUE(server_.server->WaitForCalls(absl::Minutes(1)));
}

TEST_F(ConverseTest, AClientThatLeavesLetsGoOfItAll) {
  for (int i = 0; i < 20; ++i) {
    Stream stream = NewStream();
    if (i % 5 > 0) stream.Open(absl::StrCat("s", i % 3), 2000);
    if (i % 5 > 1) stream.Say("abc");
    if (i % 5 > 2) stream.Next();
    if (i % 5 > 3) stream.Next();
    stream.Cancel();
    stream.Finish().IgnoreError();
    ASSERT_TRUE(server_.server->WaitForCalls(absl::Minutes(1)));
  }
  for (const char* session : {"s0", "s1", "s2"}) {
    // A call that was cancelled at once may arrive only now.
    absl::Status status;
    const absl::Time end = absl::Now() + absl::Minutes(1);
    do {
      status = Generate(session);
    } while (absl::IsFailedPrecondition(status) && absl::Now() < end);
    EXPECT_TRUE(status.ok()) << status;
  }
}

TEST_F(ConverseTest, StreamsFromManyThreads) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < 10; ++i) {
        Stream stream = NewStream();
        stream.Open(absl::StrCat("s", (t + i) % 3), 30);
        stream.Say("abc");
        if (i % 2 == 0) stream.Interrupt();
        stream.Say("de");
        stream.WritesDone();
        const absl::Status status = stream.Finish();
        EXPECT_TRUE(status.ok() || absl::IsFailedPrecondition(status))
            << status;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(server_.server->WaitForCalls(absl::Minutes(1)));
}

TEST_F(ConverseTest, ADrainEndsTheStreamAfterItsTurn) {
  Stream stream = NewStream();
  stream.Open("a");
  EXPECT_TRUE(stream.Next().has_opened());
  engine_->BeginDrain();
  stream.Say("abc");
  EXPECT_TRUE(absl::IsUnavailable(stream.Finish()));
}

}  // namespace
}  // namespace tlin
