// Tells when a file has been replaced or written.
#ifndef TLIN_SERVER_FILE_STAMP_H_
#define TLIN_SERVER_FILE_STAMP_H_

#include <array>
#include <cstdint>
#include <string>

namespace tlin {

// Not thread-safe.
class FileStamp {
 public:
  explicit FileStamp(const std::string& path) : path_(path) {}

  // Whether the file is another one, or has other contents, than at the call
  // before; true at the first. What is written twice within the file system's
  // clock tick, a few milliseconds, at the same length is missed.
  bool Changed();

 private:
  const std::string path_;
  // Device, inode, size, seconds and nanoseconds of the last write; all -1
  // where there is no file.
  std::array<int64_t, 5> last_{-2, -2, -2, -2, -2};
};

}  // namespace tlin

#endif  // TLIN_SERVER_FILE_STAMP_H_
