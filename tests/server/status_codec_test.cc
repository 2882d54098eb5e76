#include "server/status_codec.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/support/status.h"

namespace tlin {
namespace {

TEST(StatusCodecTest, CodesOfTheContractKeepTheirNumbersAndTheRestIsInternal) {
  const std::pair<absl::StatusCode, grpc::StatusCode> table[] = {
      {absl::StatusCode::kOk, grpc::StatusCode::OK},
      {absl::StatusCode::kCancelled, grpc::StatusCode::CANCELLED},
      {absl::StatusCode::kUnknown, grpc::StatusCode::INTERNAL},
      {absl::StatusCode::kInvalidArgument, grpc::StatusCode::INVALID_ARGUMENT},
      {absl::StatusCode::kDeadlineExceeded,
       grpc::StatusCode::DEADLINE_EXCEEDED},
      {absl::StatusCode::kNotFound, grpc::StatusCode::NOT_FOUND},
      {absl::StatusCode::kAlreadyExists, grpc::StatusCode::ALREADY_EXISTS},
      {absl::StatusCode::kPermissionDenied,
       grpc::StatusCode::PERMISSION_DENIED},
      {absl::StatusCode::kResourceExhausted,
       grpc::StatusCode::RESOURCE_EXHAUSTED},
      {absl::StatusCode::kFailedPrecondition,
       grpc::StatusCode::FAILED_PRECONDITION},
      {absl::StatusCode::kAborted, grpc::StatusCode::INTERNAL},
      {absl::StatusCode::kOutOfRange, grpc::StatusCode::INTERNAL},
      {absl::StatusCode::kUnimplemented, grpc::StatusCode::INTERNAL},
      {absl::StatusCode::kInternal, grpc::StatusCode::INTERNAL},
      {absl::StatusCode::kUnavailable, grpc::StatusCode::UNAVAILABLE},
      {absl::StatusCode::kDataLoss, grpc::StatusCode::DATA_LOSS},
      {absl::StatusCode::kUnauthenticated, grpc::StatusCode::UNAUTHENTICATED},
  };
  for (const auto& [from, to] : table) {
    EXPECT_EQ(ToGrpcStatus(absl::Status(from, "m"), "r-1").error_code(), to);
  }
}

TEST(StatusCodecTest, InternalNamesTheRequest) {
  const grpc::Status status =
      ToGrpcStatus(absl::InternalError("matrix fell over"), "r-7");
  EXPECT_EQ(status.error_message(), "request r-7: matrix fell over");
  EXPECT_TRUE(status.error_details().empty());
}

TEST(StatusCodecTest, RetryInfoTravelsInTheDetails) {
  const absl::Duration delay = absl::Milliseconds(2750);
  const absl::Status status =
      WithRetryDelay(absl::ResourceExhaustedError("full"), delay);
  EXPECT_EQ(RetryDelayOf(status), delay);

  const grpc::Status wire = ToGrpcStatus(status, "r-1");
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(wire.error_details()));
  EXPECT_EQ(details.code(), 8);
  EXPECT_EQ(details.message(), "full");
  ASSERT_EQ(details.details_size(), 1);
  EXPECT_EQ(details.details(0).type_url(),
            "type.googleapis.com/google.rpc.RetryInfo");
  google::rpc::RetryInfo info;
  ASSERT_TRUE(info.ParseFromString(details.details(0).value()));
  EXPECT_EQ(info.retry_delay().seconds(), 2);
  EXPECT_EQ(info.retry_delay().nanos(), 750'000'000);
}

TEST(StatusCodecTest, DelaysAreKeptInRange) {
  const absl::Status status = absl::UnavailableError("");
  EXPECT_EQ(RetryDelayOf(WithRetryDelay(status, -absl::Seconds(5))),
            absl::ZeroDuration());
  EXPECT_EQ(RetryDelayOf(WithRetryDelay(status, absl::InfiniteDuration())),
            absl::Hours(24));
  EXPECT_EQ(RetryDelayOf(status), std::nullopt);
}

TEST(StatusCodecTest, MessagesArePrintableAndFitATrailer) {
  const std::string hostile("\xff\x00\n\xc3", 4);
  const grpc::Status status = ToGrpcStatus(
      absl::InvalidArgumentError(hostile + std::string(100'000, 'x')), "");
  EXPECT_LE(status.error_message().size(), 1024u);
  for (const char c : status.error_message()) {
    EXPECT_TRUE(c >= 0x20 && c < 0x7f);
  }
}

}  // namespace
}  // namespace tlin
