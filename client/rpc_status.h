// gRPC's status as absl::Status. The codes have the same numbers; a server's
// google.rpc.RetryInfo travels on as a payload.
#ifndef TLIN_CLIENT_RPC_STATUS_H_
#define TLIN_CLIENT_RPC_STATUS_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace grpc {
class Status;
}  // namespace grpc

namespace tlin::client {

// Details that are missing, malformed or of other kinds are left out: code and
// message are always kept.
absl::Status FromGrpcStatus(const grpc::Status& status);

// When the server said that the call may be tried again; nullopt where it did
// not. Never negative.
std::optional<absl::Duration> RetryDelay(const absl::Status& status);

}  // namespace tlin::client

#endif  // TLIN_CLIENT_RPC_STATUS_H_
