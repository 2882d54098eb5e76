// Who a call is from, and which sessions are that caller's.
#ifndef TLIN_SERVER_CALLER_H_
#define TLIN_SERVER_CALLER_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "grpcpp/server_context.h"

namespace tlin {

struct Caller {
  // What the scheduler is fair between: the name that was proved, or the host.
  std::string client;
  // Of the sessions that the caller makes, and the only one who can name them.
  // Of the characters of a session id. Empty: nothing had to be proved, all
  // share their sessions.
  std::string owner;
};

// The name in a client's certificate that was verified: its SPIFFE id, else its
// common name, else its alternative names. Empty where there is none.
std::string CertifiedName(const grpc::ServerContextBase& context);

// "ipv4:10.0.0.1:40000" and "ipv6:%5B::1%5D:40000" without the port, which is
// another one for each connection.
absl::string_view HostOfPeer(absl::string_view peer);

// `name` as an owner: as it is where it can stand in a session's name, else a
// digest of it.
std::string OwnerOf(absl::string_view name);

// The engine's name of what `owner` calls `id`. No id holds the character
// between the two: nobody can name another's session, nor learn of it.
std::string SessionKey(absl::string_view owner, absl::string_view id);

// The id in a key; false where the session is not `owner`'s.
bool IdOfKey(absl::string_view owner, absl::string_view key,
             absl::string_view* id);

// What the engine says of a session, in the words of its owner.
absl::Status WithoutOwner(absl::string_view owner, absl::Status status);

}  // namespace tlin

#endif  // TLIN_SERVER_CALLER_H_
