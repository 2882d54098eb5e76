#include "server/file_stamp.h"

#include <sys/stat.h>

namespace tlin {

bool FileStamp::Changed() {
  std::array<int64_t, 5> now{-1, -1, -1, -1, -1};
  struct stat file = {};
  if (stat(path_.c_str(), &file) == 0) {
    now = {static_cast<int64_t>(file.st_dev), static_cast<int64_t>(file.st_ino),
           file.st_size, file.st_mtim.tv_sec, file.st_mtim.tv_nsec};
  }
  const bool changed = now != last_;
  last_ = now;
  return changed;
}

}  // namespace tlin
