// The flags that say how a server is reached.
#ifndef TLIN_CLIENT_CONNECTION_FLAGS_H_
#define TLIN_CLIENT_CONNECTION_FLAGS_H_

#include <string>

#include "absl/status/status.h"
#include "client/channel.h"
#include "client/flags.h"

namespace tlin::client {

class ConnectionFlags {
 public:
  // The set reads the files at the end of Parse: connection() holds then.
  void AddTo(FlagSet* flags);
  // With no address by default, and `help` of it.
  void AddOptionalTo(FlagSet* flags, absl::string_view help);

  const Connection& connection() const { return connection_; }

 private:
  void Add(FlagSet* flags, absl::string_view address_help);
  // INVALID_ARGUMENT names the flag and the file.
  absl::Status Read();

  Connection connection_;
  std::string ca_;
  std::string cert_;
  std::string key_;
  std::string token_file_;
  bool insecure_ = false;
};

}  // namespace tlin::client

#endif  // TLIN_CLIENT_CONNECTION_FLAGS_H_
