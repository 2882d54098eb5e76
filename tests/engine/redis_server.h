// A Redis of a test's own: an empty one on a socket port that is free, gone
// with the object.
#ifndef TLIN_TESTS_ENGINE_REDIS_SERVER_H_
#define TLIN_TESTS_ENGINE_REDIS_SERVER_H_

#include <sys/types.h>

#include <string>
#include <vector>

namespace tlin {

class RedisServer {
 public:
  // Runs redis-server, which the distribution has, and waits until it answers.
  // Dies where that fails.
  explicit RedisServer(std::vector<std::string> options = {});
  ~RedisServer();

  int port() const { return port_; }
  std::string url() const;
  // Ends it; Start runs it again at the same port, empty.
  void Stop();
  void Start();

 private:
  const std::vector<std::string> options_;
  int port_ = 0;
  pid_t process_ = 0;
};

}  // namespace tlin

#endif  // TLIN_TESTS_ENGINE_REDIS_SERVER_H_
