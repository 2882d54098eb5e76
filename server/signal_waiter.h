// SIGTERM and SIGINT as something to wait for: nothing runs in a handler.
#ifndef TLIN_SERVER_SIGNAL_WAITER_H_
#define TLIN_SERVER_SIGNAL_WAITER_H_

#include <atomic>
#include <csignal>
#include <thread>

#include "absl/synchronization/notification.h"

namespace tlin {

// The first signal ends Wait; the second ends the process at once, with status
// 128 + its number. One per process.
class SignalWaiter {
 public:
  // Blocks the two signals in this thread and in those that it starts later;
  // ignores SIGPIPE. REQUIRES: no other thread runs yet.
  SignalWaiter();
  ~SignalWaiter();

  // The signal's number. Any thread.
  int Wait();

 private:
  void Run();

  sigset_t signals_;  // constant after construction
  std::atomic<bool> stop_{false};
  std::atomic<int> signal_{0};
  absl::Notification received_;
  std::thread thread_;  // last: it uses the others
};

}  // namespace tlin

#endif  // TLIN_SERVER_SIGNAL_WAITER_H_
