// What a call has to prove before it is answered.
#ifndef TLIN_SERVER_CREDENTIALS_H_
#define TLIN_SERVER_CREDENTIALS_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "grpcpp/server_context.h"
#include "server/caller.h"
#include "server/secret_file.h"

namespace tlin {

struct CredentialOptions {
  std::string token_file;            // empty: no token is asked for
  bool client_certificates = false;  // the handshake has verified one
};

// Thread-safe. Health and reflection ask for nothing: probes have no token, and
// the protocol is no secret.
class Credentials {
 public:
  // `clock` and `logger` outlive it. Errors name --token_file.
  static absl::StatusOr<std::unique_ptr<Credentials>> Open(
      const CredentialOptions& options, Clock* clock, Logger* logger);

  // UNAUTHENTICATED: no token where one is asked for, or none that is known.
  // Where there are tokens and certificates the token's name counts.
  absl::StatusOr<Caller> Identify(const grpc::ServerContextBase& context) const;

 private:
  Credentials(bool client_certificates, std::unique_ptr<SecretFile> tokens)
      : client_certificates_(client_certificates), tokens_(std::move(tokens)) {}

  // Constant after construction.
  const bool client_certificates_;
  const std::unique_ptr<SecretFile> tokens_;  // null: none
};

// The token of an `authorization` header "Bearer TOKEN"; empty where it is
// anything else.
absl::string_view BearerToken(absl::string_view header);

}  // namespace tlin

#endif  // TLIN_SERVER_CREDENTIALS_H_
