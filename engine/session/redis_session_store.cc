#include "engine/session/redis_session_store.h"

#include <algorithm>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/base/status_macros.h"
#include "engine/session/snapshot.h"

namespace tlin {
namespace {

// In all of them KEYS are the session's hash and its lease, ARGV[1] a token.

// ARGV: token, the process's beginning of tokens, lease in ms, the version that
// is known, the longest snapshot. What a process itself has it may take again:
// the answer may have been lost.
constexpr char kAcquire[] = R"(
local holder = redis.call('GET', KEYS[2])
if holder and string.sub(holder, 1, #ARGV[2]) ~= ARGV[2] then
  return {'taken'}
end
local length = redis.call('HSTRLEN', KEYS[1], 'snapshot')
if length > tonumber(ARGV[5]) then return {'long', tostring(length)} end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[3])
local version = redis.call('HGET', KEYS[1], 'version')
if not version then return {'ours', '', ''} end
redis.call('HSET', KEYS[1], 'fence', ARGV[1])
if version == ARGV[4] then return {'ours', version, ''} end
return {'ours', version, redis.call('HGET', KEYS[1], 'snapshot')}
)";

// ARGV: token, lease in ms.
constexpr char kRenew[] = R"(
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[2], ARGV[2])
)";

constexpr char kRelease[] = R"(
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[2])
)";

// Begins what changes a session. A lease that has run out is as good while
// nobody came after it: then the fence is still its own.
constexpr char kFence[] = R"(
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[1] then return 0 end
if not holder and redis.call('HGET', KEYS[1], 'fence') ~= ARGV[1] then
  return 0
end
)";

// ARGV: token, snapshot, its head, its version, time to live in ms.
constexpr char kPut[] = R"(
redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'snapshot', ARGV[2],
           'head', ARGV[3], 'version', ARGV[4])
if ARGV[5] ~= '0' then redis.call('PEXPIRE', KEYS[1], ARGV[5]) end
return 1
)";

// The lease stays, on what is not there: its holder may make it anew.
constexpr char kDelete[] = R"(
redis.call('DEL', KEYS[1])
return 1
)";

// As many keys a call of SCAN as its answer takes little time.
constexpr char kScanCount[] = "1000";

std::string DrawProcess() {
  std::random_device random;
  std::string name;
  for (int i = 0; i < 4; ++i) {
    absl::StrAppend(&name, absl::Hex(random(), absl::kZeroPad8));
  }
  return name + "-";
}

std::string Milliseconds(absl::Duration duration) {
  if (duration == absl::InfiniteDuration()) return "0";
  return absl::StrCat(
      std::max<int64_t>(absl::ToInt64Milliseconds(duration), 1));
}

bool IsText(const redisReply* reply) {
  return reply != nullptr && (reply->type == REDIS_REPLY_STRING ||
                              reply->type == REDIS_REPLY_STATUS);
}

absl::string_view TextOf(const redisReply& reply) {
  return {reply.str, static_cast<size_t>(reply.len)};
}

// The strings of an array; false: it is none.
bool TakeStrings(const redisReply& reply, std::vector<absl::string_view>* out) {
  if (reply.type != REDIS_REPLY_ARRAY) return false;
  for (size_t i = 0; i < reply.elements; ++i) {
    if (!IsText(reply.element[i])) return false;
    out->push_back(TextOf(*reply.element[i]));
  }
  return true;
}

}  // namespace

RedisSessionStore::RedisSessionStore(RedisAddress address,
                                     const RedisStoreOptions& options,
                                     Clock* clock)
    : options_(options),
      clock_(clock),
      process_(DrawProcess()),
      lease_ms_(Milliseconds(options.lease)),
      ttl_ms_(Milliseconds(options.idle_time_to_live)),
      client_(std::move(address), clock) {}

std::string RedisSessionStore::SessionKey(absl::string_view id) const {
  return absl::StrCat("tlin:{", options_.name_space, "}:session:", id);
}

std::string RedisSessionStore::LeaseKey(absl::string_view id) const {
  return absl::StrCat("tlin:{", options_.name_space, "}:lease:", id);
}

absl::Status RedisSessionStore::NotOurs(absl::string_view id) const {
  return absl::DataLossError(
      absl::StrCat(client_.name(), ": ", SessionKey(id),
                   ": holds what tlind has not written"));
}

absl::Status RedisSessionStore::Lost(absl::string_view id) const {
  return absl::AbortedError(
      absl::StrCat(client_.name(), ": the lease of session ", id, " is over"));
}

absl::StatusOr<RedisReply> RedisSessionStore::RunScript(
    absl::string_view script, absl::string_view id,
    const std::vector<absl::string_view>& arguments) {
  const std::string session = SessionKey(id);
  const std::string lease = LeaseKey(id);
  std::vector<absl::string_view> command = {"EVAL", script, "2", session,
                                            lease};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return client_.Run(command);
}

absl::StatusOr<SessionLease> RedisSessionStore::Acquire(
    absl::string_view id, absl::string_view known) {
  const std::string token = absl::StrCat(process_, ++leases_made_);
  const std::string longest = absl::StrCat(options_.max_snapshot_bytes);
  SessionLease lease;
  // Before the command: it begins to run no sooner.
  lease.until = clock_->Now() + options_.lease;
  TLIN_ASSIGN_OR_RETURN(
      const RedisReply reply,
      RunScript(kAcquire, id, {token, process_, lease_ms_, known, longest}));
  std::vector<absl::string_view> answer;
  if (!TakeStrings(*reply, &answer) || answer.empty()) return NotOurs(id);
  if (answer[0] == "taken") {
    return absl::FailedPreconditionError(
        absl::StrCat("session ", id, " is in use at another server"));
  }
  if (answer[0] == "long") {
    return absl::DataLossError(
        absl::StrCat(client_.name(), ": session ", id, " is longer than the ",
                     longest, " bytes that one of this model can have"));
  }
  if (answer.size() != 3) return NotOurs(id);
  lease.version = std::string(answer[1]);
  lease.snapshot = std::string(answer[2]);
  tokens_[id] = token;
  return lease;
}

absl::Status RedisSessionStore::RunFenced(
    absl::string_view script, absl::string_view id,
    std::vector<absl::string_view> arguments) {
  const auto token = tokens_.find(id);
  if (token == tokens_.end()) return Lost(id);
  arguments.insert(arguments.begin(), token->second);
  TLIN_ASSIGN_OR_RETURN(const RedisReply reply,
                        RunScript(script, id, arguments));
  if (reply->type != REDIS_REPLY_INTEGER) return NotOurs(id);
  return reply->integer == 1 ? absl::OkStatus() : Lost(id);
}

absl::StatusOr<absl::Time> RedisSessionStore::Renew(absl::string_view id) {
  const absl::Time until = clock_->Now() + options_.lease;
  TLIN_RETURN_IF_ERROR(RunFenced(kRenew, id, {lease_ms_}));
  return until;
}

absl::Status RedisSessionStore::Release(absl::string_view id) {
  const absl::Status status = RunFenced(kRelease, id, {});
  if (!status.ok() && !absl::IsAborted(status)) return status;
  tokens_.erase(id);
  return absl::OkStatus();
}

absl::Status RedisSessionStore::Put(absl::string_view id,
                                    absl::string_view snapshot) {
  const std::string version = SnapshotVersion(snapshot);
  return RunFenced(
      absl::StrCat(kFence, kPut), id,
      {snapshot, snapshot.substr(0, kSnapshotHeaderBytes), version, ttl_ms_});
}

absl::Status RedisSessionStore::Delete(absl::string_view id) {
  return RunFenced(absl::StrCat(kFence, kDelete), id, {});
}

absl::StatusOr<std::string> RedisSessionStore::Get(absl::string_view id,
                                                   int64_t most) {
  const std::string key = SessionKey(id);
  TLIN_ASSIGN_OR_RETURN(
      const RedisReply reply,
      client_.Run(
          {"HGET", key, most <= kSnapshotHeaderBytes ? "head" : "snapshot"}));
  if (reply->type == REDIS_REPLY_NIL) {
    return absl::NotFoundError(
        absl::StrCat(client_.name(), ": there is no session ", id));
  }
  if (!IsText(reply.get())) return NotOurs(id);
  return std::string(TextOf(*reply).substr(0, static_cast<size_t>(most)));
}

absl::StatusOr<std::vector<std::string>> RedisSessionStore::List() {
  const std::string begin = SessionKey("");
  const std::string pattern = begin + "*";
  std::vector<std::string> ids;
  std::string cursor = "0";
  do {
    TLIN_ASSIGN_OR_RETURN(
        const RedisReply reply,
        client_.Run({"SCAN", cursor, "MATCH", pattern, "COUNT", kScanCount}));
    std::vector<absl::string_view> keys;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        !IsText(reply->element[0]) || !TakeStrings(*reply->element[1], &keys)) {
      return NotOurs("*");
    }
    for (absl::string_view key : keys) {
      if (absl::ConsumePrefix(&key, begin)) ids.emplace_back(key);
    }
    cursor = std::string(TextOf(*reply->element[0]));
  } while (cursor != "0");
  std::sort(ids.begin(), ids.end());
  // SCAN may name a key twice.
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

absl::Status RedisSessionStore::SetAside(absl::string_view id) {
  const std::string aside =
      absl::StrCat("tlin:{", options_.name_space, "}:damaged:", id);
  return client_.Run({"RENAME", SessionKey(id), aside}).status();
}

}  // namespace tlin
