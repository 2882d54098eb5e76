#include "server/open_session_store.h"

#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/base/status_macros.h"
#include "engine/session/directory_session_store.h"
#include "engine/session/redis_session_store.h"
#include "engine/session/session.h"
#include "engine/session/snapshot.h"
#include "server/read_small_file.h"

namespace tlin {
namespace {

constexpr int64_t kMaxUrlBytes = 4096;

// Sessions of one kind can go on from each other's states. Each kind is stored
// by itself: no other's sessions can be used, or lost.
std::string StateKind(const LoadedModel& loaded) {
  const ModelInfo& info = loaded.model->info();
  // A tlinformer's state then lacks the first block's history.
  const bool derived = loaded.config.derived_history &&
                       loaded.config.architecture == Architecture::kTLinFormer;
  return absl::StrCat(info.fingerprint, "-", info.dtype,
                      derived ? "-derived" : "");
}

// The URL holds a password: in a file it is not seen among the processes.
absl::StatusOr<RedisAddress> ReadRedisAddress(absl::string_view flag) {
  if (!absl::ConsumePrefix(&flag, "file:")) return ParseRedisAddress(flag);
  TLIN_ASSIGN_OR_RETURN(const std::string text,
                        ReadSmallFile(std::string(flag), kMaxUrlBytes));
  absl::StatusOr<RedisAddress> address =
      ParseRedisAddress(absl::StripAsciiWhitespace(text));
  if (address.ok()) return address;
  return absl::InvalidArgumentError(
      absl::StrCat(flag, ": ", address.status().message()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<SessionStore>> OpenSessionStore(
    const Flags& flags, const LoadedModel& loaded, Clock* clock) {
  if (!flags.session_dir.empty()) {
    return DirectorySessionStore::Open(
        absl::StrCat(flags.session_dir, "/", StateKind(loaded)));
  }
  if (flags.session_redis.empty()) return std::unique_ptr<SessionStore>();
  absl::StatusOr<RedisAddress> address = ReadRedisAddress(flags.session_redis);
  if (!address.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--session_redis: ", address.status().message()));
  }
  RedisStoreOptions options;
  options.name_space = StateKind(loaded);
  options.lease = flags.session_lease;
  options.idle_time_to_live = flags.session_ttl;
  options.max_snapshot_bytes = SnapshotBytes(
      loaded.model->info().max_context_tokens, kMostCopiedStateBytes);
  auto store =
      std::make_unique<RedisSessionStore>(*std::move(address), options, clock);
  const absl::Status reached = store->Check();
  if (!reached.ok()) {
    return absl::Status(reached.code(),
                        absl::StrCat("--session_redis: ", reached.message()));
  }
  return store;
}

}  // namespace tlin
