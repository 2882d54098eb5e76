#include "engine/session/directory_session_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/base/status_macros.h"

namespace tlin {
namespace {

namespace fs = std::filesystem;

constexpr char kSuffix[] = ".session";
constexpr char kHalfWritten[] = ".tmp";
constexpr mode_t kOwnerOnly = 0600;

// Of the call that failed last.
absl::Status Failed(absl::string_view what, const std::string& path) {
  const int error = errno;
  const std::string message =
      absl::StrCat(path, ": ", what, ": ", std::strerror(error));
  if (error == ENOENT) return absl::NotFoundError(message);
  if (error == ENOSPC || error == EDQUOT) {
    return absl::ResourceExhaustedError(message);
  }
  return absl::InternalError(message);
}

// A file descriptor for as long as it lives.
class File {
 public:
  File(const std::string& path, int flags)
      : path_(path), fd_(open(path.c_str(), flags | O_CLOEXEC, kOwnerOnly)) {}
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  bool is_open() const { return fd_ >= 0; }
  // The caller closes it.
  int Release() { return std::exchange(fd_, -1); }

  absl::Status Write(absl::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t written = write(fd_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return Failed("cannot be written", path_);
      bytes.remove_prefix(static_cast<size_t>(written));
    }
    return fsync(fd_) == 0 ? absl::OkStatus()
                           : Failed("cannot be synced", path_);
  }

  absl::StatusOr<std::string> Read(int64_t most) const {
    std::string bytes;
    char buffer[1 << 16];
    while (static_cast<int64_t>(bytes.size()) < most) {
      const auto wanted = std::min<int64_t>(
          sizeof(buffer), most - static_cast<int64_t>(bytes.size()));
      const ssize_t got = read(fd_, buffer, static_cast<size_t>(wanted));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return Failed("cannot be read", path_);
      if (got == 0) break;
      bytes.append(buffer, static_cast<size_t>(got));
    }
    return bytes;
  }

 private:
  const std::string path_;
  int fd_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<DirectorySessionStore>>
DirectorySessionStore::Open(const std::string& directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrCat(directory, ": cannot be made: ", error.message()));
  }
  File opened(directory, O_RDONLY | O_DIRECTORY);
  if (!opened.is_open()) return Failed("is no directory to use", directory);
  const std::string lock_path = directory + "/.lock";
  File lock(lock_path, O_RDWR | O_CREAT);
  if (!lock.is_open()) return Failed("cannot be made", lock_path);
  const int lock_fd = lock.Release();
  auto store = absl::WrapUnique(
      new DirectorySessionStore(directory, opened.Release(), lock_fd));
  if (flock(lock_fd, LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(directory, ": another process keeps its sessions there"));
  }
  for (const fs::directory_entry& entry :
       fs::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename().string();
    if (absl::EndsWith(name, kHalfWritten)) fs::remove(entry.path(), error);
  }
  return store;
}

DirectorySessionStore::~DirectorySessionStore() {
  close(lock_fd_);
  close(directory_fd_);
}

std::string DirectorySessionStore::PathOf(absl::string_view id) const {
  return absl::StrCat(directory_, "/", id, kSuffix);
}

absl::Status DirectorySessionStore::SyncDirectory() const {
  return fsync(directory_fd_) == 0 ? absl::OkStatus()
                                   : Failed("cannot be synced", directory_);
}

absl::Status DirectorySessionStore::Put(absl::string_view id,
                                        absl::string_view snapshot) {
  const std::string beside = absl::StrCat(directory_, "/.", id, kHalfWritten);
  const std::string path = PathOf(id);
  {
    const File file(beside, O_WRONLY | O_CREAT | O_TRUNC);
    if (!file.is_open()) return Failed("cannot be made", beside);
    const absl::Status written = file.Write(snapshot);
    if (!written.ok()) {
      unlink(beside.c_str());
      return written;
    }
  }
  if (rename(beside.c_str(), path.c_str()) != 0) {
    return Failed("cannot be replaced", path);
  }
  return SyncDirectory();
}

absl::StatusOr<std::string> DirectorySessionStore::Get(absl::string_view id,
                                                       int64_t most) {
  const std::string path = PathOf(id);
  const File file(path, O_RDONLY);
  if (!file.is_open()) return Failed("cannot be opened", path);
  return file.Read(most);
}

absl::Status DirectorySessionStore::Delete(absl::string_view id) {
  const std::string path = PathOf(id);
  if (unlink(path.c_str()) != 0 && errno != ENOENT) {
    return Failed("cannot be deleted", path);
  }
  return SyncDirectory();
}

absl::StatusOr<std::vector<std::string>> DirectorySessionStore::List() {
  std::error_code error;
  std::vector<std::string> ids;
  for (const fs::directory_entry& entry :
       fs::directory_iterator(directory_, error)) {
    const std::string name = entry.path().filename().string();
    absl::string_view id = name;
    if (absl::ConsumeSuffix(&id, kSuffix) && !absl::StartsWith(id, ".")) {
      ids.emplace_back(id);
    }
  }
  if (error) {
    return absl::InternalError(
        absl::StrCat(directory_, ": cannot be listed: ", error.message()));
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

absl::Status DirectorySessionStore::SetAside(absl::string_view id) {
  const std::string path = PathOf(id);
  const std::string aside = absl::StrCat(directory_, "/", id, ".damaged");
  if (rename(path.c_str(), aside.c_str()) != 0) {
    return Failed("cannot be set aside", path);
  }
  return SyncDirectory();
}

}  // namespace tlin
