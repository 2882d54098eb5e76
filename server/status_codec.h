// The one place where absl::Status becomes a gRPC status. Pure.
#ifndef TLIN_SERVER_STATUS_CODEC_H_
#define TLIN_SERVER_STATUS_CODEC_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace grpc {
class Status;
}  // namespace grpc

namespace tlin {

// The same status with a google.rpc.RetryInfo, which travels to the client in
// grpc-status-details-bin. Negative delays count as zero.
absl::Status WithRetryDelay(absl::Status status, absl::Duration delay);
std::optional<absl::Duration> RetryDelayOf(const absl::Status& status);

// Codes that the daemon never promises become INTERNAL; an INTERNAL one names
// the request. The message is made printable and cut to what trailers can
// carry.
grpc::Status ToGrpcStatus(const absl::Status& status,
                          absl::string_view request_id);

}  // namespace tlin

#endif  // TLIN_SERVER_STATUS_CODEC_H_
