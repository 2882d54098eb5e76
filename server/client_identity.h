// Who a call is from, for fairness between clients.
#ifndef TLIN_SERVER_CLIENT_IDENTITY_H_
#define TLIN_SERVER_CLIENT_IDENTITY_H_

#include <string>

#include "absl/strings/string_view.h"
#include "grpcpp/server_context.h"

namespace tlin {

// The name that the client has proved, or the host that it calls from.
std::string ClientOf(const grpc::ServerContextBase& context);

// "ipv4:10.0.0.1:40000" and "ipv6:%5B::1%5D:40000" without the port, which is
// another one for each connection.
absl::string_view HostOfPeer(absl::string_view peer);

}  // namespace tlin

#endif  // TLIN_SERVER_CLIENT_IDENTITY_H_
