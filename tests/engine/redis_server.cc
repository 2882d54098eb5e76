#include "tests/engine/redis_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/check.h"
#include "hiredis/hiredis.h"

extern char** environ;

namespace tlin {
namespace {

// Nobody listens there now; redis-server itself takes no port 0.
int FreePort() {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  TLIN_CHECK(bind(listener, reinterpret_cast<sockaddr*>(&address), size) == 0);
  TLIN_CHECK(
      getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  close(listener);
  return ntohs(address.sin_port);
}

bool Answers(int port) {
  redisContext* const context = redisConnect("127.0.0.1", port);
  const bool connected = context != nullptr && context->err == 0;
  if (context != nullptr) redisFree(context);
  return connected;
}

}  // namespace

RedisServer::RedisServer(std::vector<std::string> options)
    : options_(std::move(options)) {
  // hiredis writes to connections that the other side has closed.
  signal(SIGPIPE, SIG_IGN);
  // Another process may take the port before redis-server does.
  for (int attempt = 0; attempt < 5 && process_ == 0; ++attempt) {
    port_ = FreePort();
    Start();
  }
  TLIN_CHECK(process_ != 0);
}

RedisServer::~RedisServer() { Stop(); }

std::string RedisServer::url() const {
  return absl::StrCat("redis://127.0.0.1:", port_);
}

void RedisServer::Start() {
  std::vector<std::string> command = {"redis-server",
                                      "--port",
                                      absl::StrCat(port_),
                                      "--bind",
                                      "127.0.0.1",
                                      "--save",
                                      "",
                                      "--appendonly",
                                      "no",
                                      "--daemonize",
                                      "no",
                                      "--loglevel",
                                      "warning",
                                      "--logfile",
                                      "/dev/null"};
  command.insert(command.end(), options_.begin(), options_.end());
  std::vector<char*> arguments;
  for (std::string& part : command) arguments.push_back(part.data());
  arguments.push_back(nullptr);
  TLIN_CHECK(posix_spawnp(&process_, "redis-server", nullptr, nullptr,
                          arguments.data(), environ) == 0);
  for (;;) {
    if (waitpid(process_, nullptr, WNOHANG) == process_) {
      process_ = 0;  // it ended by itself
      return;
    }
    if (Answers(port_)) return;
    absl::SleepFor(absl::Milliseconds(5));  // polls for another process
  }
}

void RedisServer::Stop() {
  if (process_ == 0) return;
  kill(process_, SIGKILL);
  waitpid(process_, nullptr, 0);
  process_ = 0;
}

}  // namespace tlin
