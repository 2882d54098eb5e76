// A line on a terminal that says how long the first token has been waited for.
#ifndef TLIN_CLIENT_WAITING_LINE_H_
#define TLIN_CLIENT_WAITING_LINE_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <ostream>
#include <thread>

namespace tlin::client {

// A thread of its own writes to `terminal`, several times a second, from
// `after` on; short waits show nothing. Nobody else writes there until Stop()
// returns.
class WaitingLine {
 public:
  WaitingLine(std::ostream* terminal, std::chrono::milliseconds after);
  ~WaitingLine();
  WaitingLine(const WaitingLine&) = delete;
  WaitingLine& operator=(const WaitingLine&) = delete;

  void SetPromptTokens(int64_t tokens);
  // Clears the line. May be called again.
  void Stop();

 private:
  void Write(std::chrono::milliseconds after);

  std::ostream* const terminal_;
  std::mutex mutex_;
  std::condition_variable stopping_;
  // Guarded by mutex_.
  int64_t prompt_tokens_ = 0;  // 0: not told yet
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace tlin::client

#endif  // TLIN_CLIENT_WAITING_LINE_H_
