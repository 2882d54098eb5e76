// Certificates and keys: checked once at start, read again when they change.
#ifndef TLIN_SERVER_TLS_H_
#define TLIN_SERVER_TLS_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "grpcpp/security/server_credentials.h"

namespace tlin {

// Paths of PEM files.
struct TlsFiles {
  std::string certificate;  // the server's, with its chain; empty: no TLS
  std::string key;
  std::string client_ca;  // who signs clients; empty: clients need none
};

// INVALID_ARGUMENT or NOT_FOUND names the flag and the file: what cannot be
// read, is not PEM, or a key that is not the certificate's. OK without files.
absl::Status CheckTlsFiles(const TlsFiles& files);

// TLS 1.2 and up, or none. New connections get what the files hold, a second
// after they change; what is connected stays. While a certificate and a key do
// not fit, new connections are refused and the log says why: replace both at
// once, as a mounted secret does. With `client_ca`, who has no certificate of
// it is turned away in the handshake.
// REQUIRES: CheckTlsFiles(files).ok().
std::shared_ptr<grpc::ServerCredentials> MakeServerCredentials(
    const TlsFiles& files);

}  // namespace tlin

#endif  // TLIN_SERVER_TLS_H_
