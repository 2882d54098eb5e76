// A connection to a server, encrypted and with credentials where they are
// wanted.
#ifndef TLIN_CLIENT_CHANNEL_H_
#define TLIN_CLIENT_CHANNEL_H_

#include <memory>
#include <string>

#include "grpcpp/channel.h"

namespace tlin::client {

// How a server is reached, and what is proved to it.
struct Connection {
  std::string address = "127.0.0.1:50051";  // host:port
  bool tls = false;
  // With `tls`, texts in PEM. Who may have signed the server's certificate;
  // empty: whom this machine trusts.
  std::string root_certificates;
  // What the client proves itself with; empty: nothing.
  std::string certificate;
  std::string key;
  // Expected in the server's certificate; empty: the address's host.
  std::string server_name;
  // A bearer token, sent with each call; empty: none. Whoever can listen reads
  // it where there is no `tls`.
  std::string token;
};

// Connects at the first call.
std::shared_ptr<grpc::Channel> MakeChannel(const Connection& connection);

}  // namespace tlin::client

#endif  // TLIN_CLIENT_CHANNEL_H_
