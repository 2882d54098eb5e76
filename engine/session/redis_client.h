// A connection to Redis or Valkey: commands and replies, nothing of sessions.
#ifndef TLIN_ENGINE_SESSION_REDIS_CLIENT_H_
#define TLIN_ENGINE_SESSION_REDIS_CLIENT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "engine/base/clock.h"
#include "hiredis/hiredis.h"

namespace tlin {

// redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]; an IPv6 address in brackets.
struct RedisAddress {
  std::string host;
  int port = 6379;
  int database = 0;
  std::string user;  // empty: the default one
  std::string password;
};

// INVALID_ARGUMENT; the message has nothing of the password.
absl::StatusOr<RedisAddress> ParseRedisAddress(absl::string_view url);

struct FreeRedisReply {
  void operator()(redisReply* reply) const { freeReplyObject(reply); }
};
using RedisReply = std::unique_ptr<redisReply, FreeRedisReply>;

// Connects with the first command, and again after a failure. One thread at a
// time. REQUIRES: the process ignores SIGPIPE, which hiredis may raise.
class RedisClient {
 public:
  // `clock` outlives the client.
  RedisClient(RedisAddress address, Clock* clock);
  ~RedisClient();

  // Blocks for some seconds at most while nothing comes. UNAVAILABLE: no
  // connection, or an error of the server's; RESOURCE_EXHAUSTED: it has no more
  // memory. Messages begin with name(). A command whose answer was lost may
  // have been carried out.
  absl::StatusOr<RedisReply> Run(const std::vector<absl::string_view>& command);

  // "redis HOST:PORT"
  const std::string& name() const { return name_; }

 private:
  absl::Status Connect();
  // On the connection that is there.
  absl::StatusOr<RedisReply> Send(
      const std::vector<absl::string_view>& command);
  absl::Status Disconnected(absl::string_view why);

  // Constant after construction.
  const RedisAddress address_;
  const std::string name_;
  Clock* const clock_;

  redisContext* context_ = nullptr;  // null: not connected
  // Nothing is tried before: who waits is told at once.
  absl::Time next_try_ = absl::InfinitePast();
  absl::Status last_failure_;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_SESSION_REDIS_CLIENT_H_
