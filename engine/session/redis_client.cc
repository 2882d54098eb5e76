#include "engine/session/redis_client.h"

#include <sys/time.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/base/status_macros.h"

namespace tlin {
namespace {

constexpr timeval kConnectTimeout = {2, 0};
// For each read and write: large values take longer in all.
constexpr timeval kCommandTimeout = {2, 0};
constexpr absl::Duration kReconnectPause = absl::Milliseconds(250);

absl::Status BadAddress(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(
      what, ": want redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]"));
}

}  // namespace

absl::StatusOr<RedisAddress> ParseRedisAddress(absl::string_view url) {
  RedisAddress address;
  if (!absl::ConsumePrefix(&url, "redis://")) {
    return BadAddress("does not begin with redis://");
  }
  const size_t at = url.rfind('@');
  if (at != absl::string_view::npos) {
    const absl::string_view login = url.substr(0, at);
    url.remove_prefix(at + 1);
    const size_t colon = login.find(':');
    if (colon == absl::string_view::npos) {
      return BadAddress("no password between : and @");
    }
    address.user = std::string(login.substr(0, colon));
    address.password = std::string(login.substr(colon + 1));
  }
  const size_t slash = url.find('/');
  if (slash != absl::string_view::npos) {
    const absl::string_view database = url.substr(slash + 1);
    if (!database.empty() && (!absl::SimpleAtoi(database, &address.database) ||
                              address.database < 0)) {
      return BadAddress("the database is no number");
    }
    url = url.substr(0, slash);
  }
  const size_t bracket = url.rfind(']');
  const size_t colon = url.rfind(':');
  if (colon != absl::string_view::npos &&
      (bracket == absl::string_view::npos || colon > bracket)) {
    if (!absl::SimpleAtoi(url.substr(colon + 1), &address.port) ||
        address.port < 1 || address.port > 65535) {
      return BadAddress("the port is none from 1 to 65535");
    }
    url = url.substr(0, colon);
  }
  if (absl::ConsumePrefix(&url, "[")) absl::ConsumeSuffix(&url, "]");
  if (url.empty()) return BadAddress("there is no host");
  address.host = std::string(url);
  return address;
}

RedisClient::RedisClient(RedisAddress address, Clock* clock)
    : address_(std::move(address)),
      name_(absl::StrCat("redis ", address_.host, ":", address_.port)),
      clock_(clock) {}

RedisClient::~RedisClient() {
  if (context_ != nullptr) redisFree(context_);
}

absl::Status RedisClient::Disconnected(absl::string_view why) {
  if (context_ != nullptr) redisFree(std::exchange(context_, nullptr));
  last_failure_ = absl::UnavailableError(absl::StrCat(name_, ": ", why));
  return last_failure_;
}

absl::Status RedisClient::Connect() {
  if (context_ != nullptr) return absl::OkStatus();
  if (clock_->Now() < next_try_) return last_failure_;
  context_ = redisConnectWithTimeout(address_.host.c_str(), address_.port,
                                     kConnectTimeout);
  absl::Status status;
  if (context_ == nullptr) {
    status = Disconnected("no memory for a connection");
  } else if (context_->err != 0) {
    status = Disconnected(std::string(context_->errstr));
  } else {
    redisSetTimeout(context_, kCommandTimeout);
    redisEnableKeepAlive(context_);
    std::vector<absl::string_view> login = {"AUTH"};
    if (!address_.user.empty()) login.emplace_back(address_.user);
    login.emplace_back(address_.password);
    if (!address_.password.empty()) status = Send(login).status();
    const std::string database = absl::StrCat(address_.database);
    if (status.ok() && address_.database != 0) {
      status = Send({"SELECT", database}).status();
    }
    if (!status.ok() && context_ != nullptr) {
      redisFree(std::exchange(context_, nullptr));
      last_failure_ = status;
    }
  }
  if (!status.ok()) next_try_ = clock_->Now() + kReconnectPause;
  return status;
}

absl::StatusOr<RedisReply> RedisClient::Send(
    const std::vector<absl::string_view>& command) {
  std::vector<const char*> parts;
  std::vector<size_t> sizes;
  for (const absl::string_view part : command) {
    parts.push_back(part.data() == nullptr ? "" : part.data());
    sizes.push_back(part.size());
  }
  RedisReply reply(static_cast<redisReply*>(redisCommandArgv(
      context_, static_cast<int>(parts.size()), parts.data(), sizes.data())));
  if (reply == nullptr) return Disconnected(std::string(context_->errstr));
  if (reply->type != REDIS_REPLY_ERROR) return reply;
  const absl::string_view error(reply->str, reply->len);
  const std::string message = absl::StrCat(name_, ": ", error);
  if (absl::StrContains(error, "OOM ")) {
    return absl::ResourceExhaustedError(message);
  }
  return absl::UnavailableError(message);
}

absl::StatusOr<RedisReply> RedisClient::Run(
    const std::vector<absl::string_view>& command) {
  const bool had_connection = context_ != nullptr;
  TLIN_RETURN_IF_ERROR(Connect());
  absl::StatusOr<RedisReply> reply = Send(command);
  // The server may have closed it while nothing was sent, or has restarted.
  if (reply.ok() || context_ != nullptr || !had_connection) return reply;
  TLIN_RETURN_IF_ERROR(Connect());
  return Send(command);
}

}  // namespace tlin
