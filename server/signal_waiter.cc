#include "server/signal_waiter.h"

#include <pthread.h>
#include <unistd.h>

namespace tlin {

SignalWaiter::SignalWaiter() {
  std::signal(SIGPIPE, SIG_IGN);
  sigemptyset(&signals_);
  sigaddset(&signals_, SIGTERM);
  sigaddset(&signals_, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  thread_ = std::thread([this] { Run(); });
}

SignalWaiter::~SignalWaiter() {
  stop_ = true;
  pthread_kill(thread_.native_handle(), SIGTERM);
  thread_.join();
}

int SignalWaiter::Wait() {
  received_.WaitForNotification();
  return signal_;
}

void SignalWaiter::Run() {
  int number = 0;
  while (sigwait(&signals_, &number) == 0 && !stop_) {
    if (received_.HasBeenNotified()) _exit(128 + number);
    signal_ = number;
    received_.Notify();
  }
}

}  // namespace tlin
