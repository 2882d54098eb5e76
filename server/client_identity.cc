#include "server/client_identity.h"

#include <memory>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "grpcpp/security/auth_context.h"

namespace tlin {

std::string ClientOf(const grpc::ServerContextBase& context) {
  const std::shared_ptr<const grpc::AuthContext> auth = context.auth_context();
  if (auth != nullptr && auth->IsPeerAuthenticated()) {
    std::string name;
    for (const grpc::string_ref& part : auth->GetPeerIdentity()) {
      absl::StrAppend(&name, "/", absl::string_view(part.data(), part.size()));
    }
    return name;
  }
  return std::string(HostOfPeer(context.peer()));
}

absl::string_view HostOfPeer(absl::string_view peer) {
  if (!absl::StartsWith(peer, "ipv4:") && !absl::StartsWith(peer, "ipv6:")) {
    return peer;
  }
  return peer.substr(0, peer.rfind(':'));
}

}  // namespace tlin
