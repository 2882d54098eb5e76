// Tells whoever started the daemon where it listens.
#ifndef TLIN_SERVER_PORT_FILE_H_
#define TLIN_SERVER_PORT_FILE_H_

#include <string>

#include "absl/status/status.h"

namespace tlin {

// `listen` with `port` in place of its own: "127.0.0.1:0", 4711 ->
// "127.0.0.1:4711".
std::string BoundAddress(const std::string& listen, int port);

// Writes the two addresses, a line each, and renames the file into place:
// readers see all of it or nothing. Errors name the file.
absl::Status WritePortFile(const std::string& path, const std::string& grpc,
                           const std::string& metrics);

}  // namespace tlin

#endif  // TLIN_SERVER_PORT_FILE_H_
