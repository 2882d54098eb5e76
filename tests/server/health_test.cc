// Alive, ready and progressing are three things.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "grpc/health/v1/health.grpc.pb.h"
#include "grpcpp/client_context.h"
#include "server/readiness_monitor.h"
#include "tests/server/fake_engine.h"
#include "tests/server/server_under_test.h"

namespace tlin {
namespace {

using ::grpc::health::v1::Health;
using ::grpc::health::v1::HealthCheckRequest;
using ::grpc::health::v1::HealthCheckResponse;

constexpr char kReady[] = "tlin.v1.Generation";

class HealthTest : public ::testing::Test {
 protected:
  // SERVICE_UNKNOWN stands for NOT_FOUND.
  HealthCheckResponse::ServingStatus Check(const std::string& service) {
    grpc::ClientContext context;
    HealthCheckRequest request;
    request.set_service(service);
    HealthCheckResponse response;
    const grpc::Status status = health_->Check(&context, request, &response);
    if (status.error_code() == grpc::StatusCode::NOT_FOUND) {
      return HealthCheckResponse::SERVICE_UNKNOWN;
    }
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.status();
  }

  FakeEngine engine_{{28, 4096, 4096, true, 27}};
  ServerUnderTest server_;
  std::unique_ptr<Health::Stub> health_ = Health::NewStub(server_.NewChannel());
};

struct Watch {
  Watch(Health::Stub* health, const std::string& service) {
    HealthCheckRequest request;
    request.set_service(service);
    reader = health->Watch(&context, request);
  }
  // Blocks until the next change.
  HealthCheckResponse::ServingStatus Next() {
    HealthCheckResponse response;
    EXPECT_TRUE(reader->Read(&response));
    return response.status();
  }
  ~Watch() {
    context.TryCancel();
    reader->Finish();
  }

  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReader<HealthCheckResponse>> reader;
};

TEST_F(HealthTest, LoadingIsAliveAndNotReady) {
  EXPECT_EQ(Check(""), HealthCheckResponse::SERVING);
  EXPECT_EQ(Check(kReady), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(Check("no.such.Service"), HealthCheckResponse::SERVICE_UNKNOWN);
}

TEST_F(HealthTest, AStuckEngineIsNotReadyUntilItMovesAgain) {
  Watch watch(health_.get(), kReady);
  EXPECT_EQ(watch.Next(), HealthCheckResponse::NOT_SERVING);
  server_.Load(&engine_);
  ReadinessMonitor monitor(
      &engine_, absl::Milliseconds(40),
      [&](bool ready) { server_.server->SetReady(ready); }, &server_.logger);
  EXPECT_EQ(watch.Next(), HealthCheckResponse::SERVING);
  engine_.SetTimeSinceProgress(absl::Milliseconds(50));
  EXPECT_EQ(watch.Next(), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(Check(""), HealthCheckResponse::SERVING)
      << "a restart is not what a long queue or step needs";
  engine_.SetTimeSinceProgress(absl::Milliseconds(30));
  EXPECT_EQ(watch.Next(), HealthCheckResponse::SERVING);
}

TEST_F(HealthTest, AFullQueueIsReady) {
  server_.Load(&engine_);
  engine_.RefuseWith(absl::ResourceExhaustedError("full"));
  ReadinessMonitor monitor(
      &engine_, absl::Milliseconds(40),
      [&](bool ready) { server_.server->SetReady(ready); }, &server_.logger);
  Watch watch(health_.get(), kReady);
  while (watch.Next() != HealthCheckResponse::SERVING) {
  }
  grpc::ClientContext context;
  v1::GenerateRequest request;
  request.set_text("abc");
  auto reader = server_.stub->Generate(&context, request);
  EXPECT_EQ(reader->Finish().error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(Check(kReady), HealthCheckResponse::SERVING);
  EXPECT_EQ(Check(""), HealthCheckResponse::SERVING);
}

TEST_F(HealthTest, WatchesDoNotHoldUpShutdown) {
  Watch alive(health_.get(), "");
  EXPECT_EQ(alive.Next(), HealthCheckResponse::SERVING);
  server_.server->Shutdown(absl::ZeroDuration());
  SUCCEED();
}

}  // namespace
}  // namespace tlin
