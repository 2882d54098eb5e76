#include "server/caller.h"

#include <openssl/sha.h>

#include <array>
#include <memory>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "grpc/grpc_security_constants.h"
#include "grpcpp/security/auth_context.h"
#include "server/plain_name.h"

namespace tlin {
namespace {

// The first that is there counts. Alternative names come last: a certificate
// that is renewed may have others, and sessions stay their owner's.
constexpr const char* kNamesOfCertificates[] = {
    GRPC_PEER_SPIFFE_ID_PROPERTY_NAME, GRPC_X509_CN_PROPERTY_NAME,
    GRPC_X509_SAN_PROPERTY_NAME};

constexpr char kBetween = '~';
constexpr size_t kMaxOwnerBytes = 64;

std::string Prefix(absl::string_view owner) {
  return absl::StrCat(owner, std::string(1, kBetween));
}

}  // namespace

std::string CertifiedName(const grpc::ServerContextBase& context) {
  const std::shared_ptr<const grpc::AuthContext> auth = context.auth_context();
  if (auth == nullptr || !auth->IsPeerAuthenticated()) return "";
  for (const char* kind : kNamesOfCertificates) {
    std::string name;
    for (const grpc::string_ref& part : auth->FindPropertyValues(kind)) {
      absl::StrAppend(&name, name.empty() ? "" : "/",
                      absl::string_view(part.data(), part.size()));
    }
    if (!name.empty()) return name;
  }
  return "";
}

absl::string_view HostOfPeer(absl::string_view peer) {
  if (!absl::StartsWith(peer, "ipv4:") && !absl::StartsWith(peer, "ipv6:")) {
    return peer;
  }
  return peer.substr(0, peer.rfind(':'));
}

std::string OwnerOf(absl::string_view name) {
  if (IsPlainName(name, kMaxOwnerBytes)) return std::string(name);
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const unsigned char*>(name.data()), name.size(),
         digest.data());
  return absl::BytesToHexString(absl::string_view(
      reinterpret_cast<const char*>(digest.data()), digest.size()));
}

std::string SessionKey(absl::string_view owner, absl::string_view id) {
  if (owner.empty() || id.empty()) return std::string(id);
  return absl::StrCat(Prefix(owner), id);
}

bool IdOfKey(absl::string_view owner, absl::string_view key,
             absl::string_view* id) {
  *id = key;
  if (owner.empty()) return !absl::StrContains(key, kBetween);
  return absl::ConsumePrefix(id, Prefix(owner));
}

absl::Status WithoutOwner(absl::string_view owner, absl::Status status) {
  if (owner.empty() || status.ok()) return status;
  absl::Status plain(status.code(), absl::StrReplaceAll(status.message(),
                                                        {{Prefix(owner), ""}}));
  status.ForEachPayload(
      [&plain](absl::string_view type, const absl::Cord& payload) {
        plain.SetPayload(type, payload);
      });
  return plain;
}

}  // namespace tlin
