// A file of an operator's, whole: credentials, certificates.
#ifndef TLIN_SERVER_READ_SMALL_FILE_H_
#define TLIN_SERVER_READ_SMALL_FILE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace tlin {

// NOT_FOUND, INVALID_ARGUMENT (longer than `max_bytes`, not a file): the
// message names the path and says why.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path,
                                          int64_t max_bytes);

}  // namespace tlin

#endif  // TLIN_SERVER_READ_SMALL_FILE_H_
