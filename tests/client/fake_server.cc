#include "tests/client/fake_server.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/ext/health_check_service_server_builder_option.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/health_check_service_interface.h"
#include "tlin/v1/generation.grpc.pb.h"

namespace tlin::client {
namespace {

grpc::Status ToGrpc(const FakeEnd& end) {
  return {static_cast<grpc::StatusCode>(end.code), end.message, end.details};
}

// Writes one event at a time; deletes itself when gRPC is done with it.
class Reactor final : public FakeCall,
                      public grpc::ServerWriteReactor<v1::GenerateResponse> {
 public:
  Reactor(const v1::GenerateRequest& request, absl::Duration time_left,
          const std::function<FakeEnd(FakeCall&)>& script)
      : request_(request),
        time_left_(time_left),
        thread_([this, script] { Finish(ToGrpc(script(*this))); }) {}

  const v1::GenerateRequest& request() const override { return request_; }
  absl::Duration time_left() const override { return time_left_; }

  bool Send(const v1::GenerateResponse& event) override {
    std::unique_lock<std::mutex> lock(mutex_);
    event_ = event;
    written_ = false;
    lock.unlock();
    StartWrite(&event_);
    lock.lock();
    changed_.wait(lock, [this] { return written_; });
    return write_ok_ && !cancelled_;
  }

  void WaitUntilCancelled() override {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return cancelled_; });
  }

  void OnWriteDone(bool ok) override {
    std::lock_guard<std::mutex> lock(mutex_);
    written_ = true;
    write_ok_ = ok;
    changed_.notify_all();
  }

  void OnCancel() override {
    std::lock_guard<std::mutex> lock(mutex_);
    cancelled_ = true;
    changed_.notify_all();
  }

  void OnDone() override {
    thread_.join();
    delete this;
  }

 private:
  const v1::GenerateRequest request_;
  const absl::Duration time_left_;
  v1::GenerateResponse event_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  bool written_ = false;
  bool write_ok_ = false;
  bool cancelled_ = false;
  std::thread thread_;
};

FakeEnd Hello(FakeCall& call) {
  call.Send(StartedEvent(3));
  call.Send(ChunkEvent("Hello,", {11, 12}));
  call.Send(ChunkEvent(" world!", {13}));
  call.Send(FinishedEvent(v1::Finished::EOS, 3));
  return {};
}

}  // namespace

class FakeServer::Impl final
    : public v1::Generation::WithCallbackMethod_Generate<
          v1::Generation::Service> {
 public:
  Impl(const Script* script, std::string* address) : script_(script) {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    *address = "127.0.0.1:" + std::to_string(port);
  }

  ~Impl() override {
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
  }

  void SetServing(const std::string& service, bool serving) {
    server_->GetHealthCheckService()->SetServingStatus(service, serving);
  }

  grpc::ServerWriteReactor<v1::GenerateResponse>* Generate(
      grpc::CallbackServerContext* context,
      const v1::GenerateRequest* request) override {
    absl::Duration left = absl::InfiniteDuration();
    if (context->deadline() != std::chrono::system_clock::time_point::max()) {
      left = absl::FromChrono(context->deadline()) - absl::Now();
    }
    return new Reactor(*request, left, script_->generate);
  }

  grpc::Status Score(grpc::ServerContext*, const v1::ScoreRequest* request,
                     v1::ScoreResponse* response) override {
    return ToGrpc(script_->score(*request, response));
  }
  grpc::Status Tokenize(grpc::ServerContext*,
                        const v1::TokenizeRequest* request,
                        v1::TokenizeResponse* response) override {
    return ToGrpc(script_->tokenize(*request, response));
  }
  grpc::Status Detokenize(grpc::ServerContext*,
                          const v1::DetokenizeRequest* request,
                          v1::DetokenizeResponse* response) override {
    return ToGrpc(script_->detokenize(*request, response));
  }
  grpc::Status GetModel(grpc::ServerContext*,
                        const v1::GetModelRequest* request,
                        v1::Model* response) override {
    return ToGrpc(script_->get_model(*request, response));
  }

 private:
  const Script* const script_;
  std::unique_ptr<grpc::Server> server_;
};

FakeServer::FakeServer() {
  script.generate = Hello;
  script.score = [](const v1::ScoreRequest&, v1::ScoreResponse*) {
    return FakeEnd{};
  };
  script.tokenize = [](const v1::TokenizeRequest& request,
                       v1::TokenizeResponse* response) {
    for (unsigned char byte : request.text()) {
      response->add_token_ids(byte);
      response->add_pieces(std::string(1, static_cast<char>(byte & 0x7F)));
    }
    return FakeEnd{};
  };
  script.detokenize = [](const v1::DetokenizeRequest& request,
                         v1::DetokenizeResponse* response) {
    for (int32_t id : request.token_ids()) {
      response->mutable_text()->push_back(static_cast<char>(id & 0x7F));
    }
    return FakeEnd{};
  };
  script.get_model = [](const v1::GetModelRequest&, v1::Model* model) {
    model->set_name("fake");
    model->set_architecture("tconstformer");
    model->set_vocab_size(100);
    model->set_n_block(2);
    model->set_generation_window(256);
    return FakeEnd{};
  };
}

FakeServer::~FakeServer() = default;

void FakeServer::Start() {
  if (impl_ == nullptr) impl_ = std::make_unique<Impl>(&script, &address_);
}

const std::string& FakeServer::address() {
  Start();
  return address_;
}

void FakeServer::SetServing(const std::string& service, bool serving) {
  Start();
  impl_->SetServing(service, serving);
}

std::string RetryDetails(absl::Duration delay) {
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(absl::ToInt64Seconds(delay));
  retry.mutable_retry_delay()->set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(delay % absl::Seconds(1))));
  google::rpc::Status status;
  status.add_details()->PackFrom(retry);
  return status.SerializeAsString();
}

v1::GenerateResponse StartedEvent(int64_t prompt_tokens) {
  v1::GenerateResponse event;
  event.mutable_started()->set_request_id("r1");
  event.mutable_started()->set_prompt_tokens(prompt_tokens);
  event.mutable_started()->set_seed(7);
  return event;
}

v1::GenerateResponse ChunkEvent(const std::string& text,
                                std::initializer_list<int32_t> ids) {
  v1::GenerateResponse event;
  event.mutable_chunk()->set_text(text);
  event.mutable_chunk()->mutable_token_ids()->Add(ids.begin(), ids.end());
  return event;
}

v1::GenerateResponse FinishedEvent(v1::Finished::Reason reason,
                                   int64_t generated_tokens) {
  v1::GenerateResponse event;
  event.mutable_finished()->set_reason(reason);
  event.mutable_finished()->mutable_usage()->set_generated_tokens(
      generated_tokens);
  return event;
}

std::string UnusedAddress() {
  // It was free a moment ago, and nobody else here takes ports by number.
  FakeServer server;
  return server.address();
}

}  // namespace tlin::client
