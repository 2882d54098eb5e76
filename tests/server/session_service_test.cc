// Sessions over a real channel, of the real engine over a puppet model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/rpc_status.h"
#include "engine/engine.h"
#include "grpcpp/client_context.h"
#include "tests/server/server_under_test.h"
#include "tests/testing/puppet_model.h"
#include "tlin/v1/sessions.grpc.pb.h"

namespace tlin {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class SessionServiceTest : public ::testing::Test {
 protected:
  SessionServiceTest() {
    EngineOptions options;
    options.sessions.max_sessions = 5;
    engine_ =
        Engine::Create(options, &puppet_, &server_.tokenizer, std::nullopt,
                       &server_.listener, &server_.clock, &server_.logger);
    engine_->Start();
    server_.Load(engine_.get());
    stub_ = v1::Sessions::NewStub(server_.NewChannel());
  }
  ~SessionServiceTest() override {
    engine_->Stop();
    server_.server.reset();
    EXPECT_THAT(puppet_.faults, IsEmpty());
  }

  absl::Status Create(const std::string& id, v1::Session* session) {
    grpc::ClientContext context;
    v1::CreateSessionRequest request;
    request.set_session_id(id);
    return client::FromGrpcStatus(
        stub_->CreateSession(&context, request, session));
  }
  absl::Status Create(const std::string& id) {
    v1::Session session;
    return Create(id, &session);
  }
  absl::Status Get(const std::string& id, v1::Session* session) {
    grpc::ClientContext context;
    v1::GetSessionRequest request;
    request.set_session_id(id);
    return client::FromGrpcStatus(
        stub_->GetSession(&context, request, session));
  }
  absl::Status Delete(const std::string& id) {
    grpc::ClientContext context;
    v1::DeleteSessionRequest request;
    request.set_session_id(id);
    v1::DeleteSessionResponse response;
    return client::FromGrpcStatus(
        stub_->DeleteSession(&context, request, &response));
  }
  absl::Status Fork(const std::string& from, const std::string& to,
                    v1::Session* session) {
    grpc::ClientContext context;
    v1::ForkSessionRequest request;
    request.set_session_id(from);
    request.set_new_session_id(to);
    return client::FromGrpcStatus(
        stub_->ForkSession(&context, request, session));
  }
  absl::Status Export(const std::string& id, std::string* snapshot) {
    grpc::ClientContext context;
    v1::ExportSessionRequest request;
    request.set_session_id(id);
    const auto reader = stub_->ExportSession(&context, request);
    v1::SessionChunk chunk;
    while (reader->Read(&chunk)) snapshot->append(chunk.data());
    return client::FromGrpcStatus(reader->Finish());
  }
  // In pieces of `piece` bytes.
  absl::Status Import(const std::string& id, const std::string& snapshot,
                      size_t piece = 1000) {
    grpc::ClientContext context;
    v1::Session session;
    const auto writer = stub_->ImportSession(&context, &session);
    v1::SessionChunk chunk;
    chunk.set_session_id(id);
    writer->Write(chunk);
    chunk.Clear();
    for (size_t at = 0; at < snapshot.size(); at += piece) {
      chunk.set_data(snapshot.substr(at, piece));
      if (!writer->Write(chunk)) break;
    }
    writer->WritesDone();
    return client::FromGrpcStatus(writer->Finish());
  }
  std::vector<std::string> List() {
    grpc::ClientContext context;
    v1::ListSessionsResponse response;
    EXPECT_TRUE(stub_->ListSessions(&context, {}, &response).ok());
    std::vector<std::string> ids;
    for (const v1::Session& session : response.sessions()) {
      ids.push_back(session.session_id());
    }
    return ids;
  }

  struct Answer {
    absl::Status status;
    v1::Started started;
    std::vector<TokenId> token_ids;
  };
  Answer Generate(const std::string& session, const std::string& text,
                  int32_t max_new = 5) {
    grpc::ClientContext context;
    v1::GenerateRequest request;
    request.set_session_id(session);
    request.set_text(text);
    request.mutable_sampling()->set_seed(1);
    request.mutable_stopping()->set_max_new_tokens(max_new);
    const auto stream = server_.stub->Generate(&context, request);
    Answer answer;
    v1::GenerateResponse event;
    while (stream->Read(&event)) {
      if (event.has_started()) answer.started = event.started();
      for (const TokenId id : event.chunk().token_ids()) {
        answer.token_ids.push_back(id);
      }
    }
    answer.status = client::FromGrpcStatus(stream->Finish());
    return answer;
  }

  double Outcome(const std::string& outcome) {
    // The end is told before it is counted in no order that a client sees.
    EXPECT_TRUE(engine_->WaitUntilIdle(absl::Minutes(1)));
    double value = -1;
    for (const auto& family : server_.listener.registry()->Collect()) {
      if (family.name != "tlin_requests_total") continue;
      for (const auto& metric : family.metric) {
        for (const auto& label : metric.label) {
          if (label.value == outcome) value = metric.counter.value;
        }
      }
    }
    return value;
  }

  PuppetModel puppet_{{}};
  ServerUnderTest server_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<v1::Sessions::Stub> stub_;
};

TEST_F(SessionServiceTest, AConversationGoesOn) {
  v1::Session session;
  ASSERT_TRUE(Create("talk", &session).ok());
  EXPECT_EQ(session.session_id(), "talk");
  EXPECT_EQ(session.state(), v1::Session::STORED);
  EXPECT_EQ(session.tokens(), 0);
  const Answer first = Generate("talk", "abcdefghij");
  ASSERT_TRUE(first.status.ok()) << first.status;
  EXPECT_EQ(first.started.session_id(), "talk");
  EXPECT_EQ(first.started.cached_tokens(), 0);
  ASSERT_TRUE(Get("talk", &session).ok());
  EXPECT_EQ(session.state(), v1::Session::IDLE);
  EXPECT_EQ(session.tokens(), 15);
  EXPECT_EQ(session.host_bytes(), 15 * 4);
  EXPECT_GE(session.last_used().seconds(), session.created().seconds());
  const Answer second = Generate("talk", "xyz");
  EXPECT_EQ(second.started.prompt_tokens(), 18);
  EXPECT_EQ(second.started.cached_tokens(), 14);
  EXPECT_EQ(second.token_ids.size(), 5);
}

TEST_F(SessionServiceTest, AForkSaysTheSame) {
  ASSERT_TRUE(Create("a").ok());
  Generate("a", "abcdefghij", 9);
  v1::Session fork;
  ASSERT_TRUE(Fork("a", "b", &fork).ok());
  EXPECT_EQ(fork.session_id(), "b");
  EXPECT_EQ(fork.tokens(), 19);
  EXPECT_EQ(fork.state(), v1::Session::STORED);
  EXPECT_GT(fork.host_bytes(), 19 * 4) << "its state is in host memory";
  const Answer answer = Generate("a", "xy");
  EXPECT_EQ(Generate("b", "xy").token_ids, answer.token_ids);
  EXPECT_THAT(List(), ElementsAre("a", "b"));
  EXPECT_TRUE(Delete("a").ok());
  EXPECT_THAT(List(), ElementsAre("b"));
}

TEST_F(SessionServiceTest, AnExportIsImported) {
  ASSERT_TRUE(Create("a").ok());
  Generate("a", "abcdefghij", 900);
  std::string snapshot;
  ASSERT_TRUE(Export("a", &snapshot).ok());
  EXPECT_EQ(static_cast<int64_t>(snapshot.size()), SnapshotBytes(910, 909 * 4));
  for (const size_t piece : {size_t{1000}, size_t{100'000}}) {
    const std::string id = absl::StrCat("piece-", piece);
    ASSERT_TRUE(Import(id, snapshot, piece).ok());
    v1::Session session;
    ASSERT_TRUE(Get(id, &session).ok());
    EXPECT_EQ(session.tokens(), 910);
    EXPECT_EQ(session.state(), v1::Session::STORED);
  }
  const Answer stayed = Generate("a", "xyz");
  const Answer moved = Generate("piece-1000", "xyz");
  EXPECT_EQ(moved.token_ids, stayed.token_ids);
  EXPECT_EQ(moved.started.cached_tokens(), 909);
}

TEST_F(SessionServiceTest, BadImportsAreRefusedAndNothingIsLost) {
  ASSERT_TRUE(Create("a").ok());
  Generate("a", "abcdefghij", 50);
  std::string snapshot;
  ASSERT_TRUE(Export("a", &snapshot).ok());
  const auto expect = [&](const std::string& id, const std::string& bytes,
                          absl::StatusCode code, const char* part) {
    const absl::Status status = Import(id, bytes);
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(part));
  };
  expect("b", "", absl::StatusCode::kDataLoss, "data: has 0 bytes");
  expect("b", snapshot.substr(0, snapshot.size() - 1),
         absl::StatusCode::kDataLoss, "its header tells of");
  std::string altered = snapshot;
  altered[150] = static_cast<char>(altered[150] ^ 1);
  expect("b", altered, absl::StatusCode::kDataLoss, "offset 112");
  altered = snapshot;
  altered[8] = 7;
  expect("b", altered, absl::StatusCode::kFailedPrecondition, "version 7");
  expect("b",
         std::string(static_cast<size_t>(engine_->MaxSnapshotBytes()) + 1, 'x'),
         absl::StatusCode::kInvalidArgument, "data: more than");
  expect("a", snapshot, absl::StatusCode::kAlreadyExists, "a");
  expect("a/b", snapshot, absl::StatusCode::kInvalidArgument, "session_id");
  std::string nothing;
  EXPECT_TRUE(absl::IsNotFound(Export("b", &nothing)));
  EXPECT_EQ(nothing, "");
  EXPECT_THAT(List(), ElementsAre("a"));
  EXPECT_TRUE(Generate("a", "more").status.ok());
}

// Readers and writers who leave in the middle hold nothing.
TEST_F(SessionServiceTest, TransfersThatAreCutOff) {
  ASSERT_TRUE(Create("a").ok());
  Generate("a", "abcdefghij", 900);
  for (int i = 0; i < 20; ++i) {
    grpc::ClientContext reading;
    v1::ExportSessionRequest request;
    request.set_session_id("a");
    const auto reader = stub_->ExportSession(&reading, request);
    v1::SessionChunk chunk;
    if (i % 2 == 0) reader->Read(&chunk);
    reading.TryCancel();
    reader->Finish();
    grpc::ClientContext writing;
    v1::Session session;
    const auto writer = stub_->ImportSession(&writing, &session);
    if (i % 2 == 0) writer->Write(chunk);
    writing.TryCancel();
    writer->Finish();
  }
  EXPECT_TRUE(server_.server->WaitForCalls(absl::Minutes(1)));
  EXPECT_THAT(List(), ElementsAre("a"));
}

TEST_F(SessionServiceTest, EachErrorHasItsStatus) {
  v1::Session session;
  EXPECT_TRUE(absl::IsNotFound(Get("a", &session)));
  EXPECT_TRUE(absl::IsNotFound(Delete("a")));
  EXPECT_TRUE(absl::IsNotFound(Fork("a", "b", &session)));
  EXPECT_TRUE(absl::IsNotFound(Generate("a", "x").status));
  EXPECT_EQ(Outcome("invalid"), 1);
  ASSERT_TRUE(Create("a").ok());
  EXPECT_TRUE(absl::IsAlreadyExists(Create("a")));
  EXPECT_TRUE(absl::IsAlreadyExists(Fork("a", "a", &session)));
  for (const std::string& bad : {std::string("a/b"), std::string("."),
                                 std::string("a b"), std::string(129, 'x')}) {
    const absl::Status status = Create(bad);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << bad;
    EXPECT_THAT(std::string(status.message()), HasSubstr("session_id"));
    EXPECT_TRUE(absl::IsInvalidArgument(Fork("a", bad, &session))) << bad;
  }
  // Ids of the server's own are not told apart by guessing.
  v1::Session one, other;
  ASSERT_TRUE(Create("", &one).ok());
  ASSERT_TRUE(Fork("a", "", &other).ok());
  EXPECT_EQ(one.session_id().size(), std::string("session-").size() + 32);
  EXPECT_NE(one.session_id(), other.session_id());
  ASSERT_TRUE(Create("d").ok());
  ASSERT_TRUE(Create("e").ok());
  const absl::Status full = Create("f");
  EXPECT_TRUE(absl::IsResourceExhausted(full));
  EXPECT_TRUE(client::RetryDelay(full).has_value());

  grpc::ClientContext context;
  v1::GetSessionRequest other_model;
  other_model.set_model("gpt");
  EXPECT_EQ(stub_->GetSession(&context, other_model, &session).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(SessionServiceTest, ABusySessionIsLeftAlone) {
  ASSERT_TRUE(Create("a").ok());
  puppet_.Block();
  Answer long_one;
  std::thread caller([&] { long_one = Generate("a", "abc", 20); });
  ASSERT_TRUE(puppet_.WaitUntilBlocked());
  absl::Status deleted, forked;
  Answer second;
  std::vector<std::thread> others;
  others.emplace_back([&] { deleted = Delete("a"); });
  others.emplace_back([&] {
    v1::Session session;
    forked = Fork("a", "b", &session);
  });
  others.emplace_back([&] { second = Generate("a", "abc"); });
  // Their commands may come at any of the next steps: the long one takes 20.
  puppet_.Release();
  for (std::thread& other : others) other.join();
  caller.join();
  EXPECT_TRUE(long_one.status.ok());
  for (const absl::Status& status : {deleted, forked, second.status}) {
    EXPECT_TRUE(status.ok() || absl::IsFailedPrecondition(status) ||
                absl::IsNotFound(status))
        << status;
  }
}

// Every call ends, whatever the others do meanwhile.
TEST_F(SessionServiceTest, CallsFromManyThreads) {
  std::atomic<int> answers{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      const std::string own(1, static_cast<char>('a' + t));
      const std::string next(1, static_cast<char>('a' + (t + 1) % 4));
      for (int i = 0; i < 25; ++i) {
        v1::Session session;
        Create(own).IgnoreError();
        Generate(own, "abc", 3);
        Fork(own, next, &session).IgnoreError();
        Get(next, &session).IgnoreError();
        Generate(next, "de", 9);
        Delete(i % 2 == 0 ? own : next).IgnoreError();
        ++answers;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(answers, 100);
  EXPECT_TRUE(engine_->WaitUntilIdle(absl::Minutes(1)));
}

TEST_F(SessionServiceTest, NotWhileDraining) {
  engine_->BeginDrain();
  const absl::Status status = Create("a");
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_TRUE(client::RetryDelay(status).has_value());
}

}  // namespace
}  // namespace tlin
