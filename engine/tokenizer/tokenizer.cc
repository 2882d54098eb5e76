#include "engine/tokenizer/tokenizer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/tokenizer/byte_level_tokenizer.h"
#include "engine/tokenizer/json_parser.h"
#include "engine/tokenizer/token_tables.h"
#include "engine/tokenizer/tokenizer_json.h"

namespace tlin {
namespace {

absl::Status ErrnoError(const std::string& path, absl::string_view what) {
  return absl::ErrnoToStatus(errno, absl::StrCat(path, ": ", what));
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  // Non-blocking: a FIFO in the file's place must not hold up the start.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return ErrnoError(path, "cannot open");
  const auto closer = absl::MakeCleanup([fd] { close(fd); });
  struct stat info;
  if (fstat(fd, &info) != 0) return ErrnoError(path, "cannot stat");
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": not a file"));
  }
  if (info.st_size > static_cast<off_t>(kMaxJsonBytes)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", info.st_size,
                                                   " bytes; at most ",
                                                   kMaxJsonBytes, " are read"));
  }
  std::string contents(static_cast<size_t>(info.st_size), '\0');
  size_t size = 0;
  while (size < contents.size()) {
    const ssize_t got = read(fd, &contents[size], contents.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoError(path, "cannot read");
    if (got == 0) break;  // shortened meanwhile; the parser will say so
    size += static_cast<size_t>(got);
  }
  contents.resize(size);
  return contents;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Load(
    const std::string& path) {
  TLIN_ASSIGN_OR_RETURN(const std::string contents, ReadFile(path));
  return Parse(contents, path);
}

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Parse(
    absl::string_view json, absl::string_view name) {
  TLIN_ASSIGN_OR_RETURN(const TokenizerSpec spec,
                        ReadTokenizerJson(json, name));
  TLIN_ASSIGN_OR_RETURN(TokenTables tables, BuildTokenTables(spec, name));
  return std::make_unique<ByteLevelTokenizer>(spec, std::move(tables));
}

}  // namespace tlin
