#include "server/port_file.h"

#include <cerrno>
#include <cstdio>
#include <fstream>

#include "absl/strings/str_cat.h"

namespace tlin {

std::string BoundAddress(const std::string& listen, int port) {
  return absl::StrCat(listen.substr(0, listen.rfind(':')), ":", port);
}

absl::Status WritePortFile(const std::string& path, const std::string& grpc,
                           const std::string& metrics) {
  const std::string temporary = path + ".new";
  std::ofstream file(temporary, std::ios::trunc);
  file << grpc << "\n" << metrics << "\n";
  file.close();
  if (file.fail() || std::rename(temporary.c_str(), path.c_str()) != 0) {
    return absl::ErrnoToStatus(
        errno, absl::StrCat("--port_file=", path, ": cannot be written"));
  }
  return absl::OkStatus();
}

}  // namespace tlin
