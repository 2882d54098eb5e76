#include "client/interrupt.h"

#include <pthread.h>
#include <signal.h>

#include <thread>
#include <utility>

namespace tlin::client {

Interrupt::Scope::Scope(Interrupt* interrupt, std::function<void()> on_fire)
    : interrupt_(interrupt), on_fire_(std::move(on_fire)) {
  std::lock_guard<std::mutex> lock(interrupt_->mutex_);
  interrupt_->scope_ = this;
}

Interrupt::Scope::~Scope() {
  std::unique_lock<std::mutex> lock(interrupt_->mutex_);
  interrupt_->fire_over_.wait(lock, [this] { return !interrupt_->firing_; });
  interrupt_->scope_ = nullptr;
}

bool Interrupt::Scope::fired() const {
  std::lock_guard<std::mutex> lock(interrupt_->mutex_);
  return fired_;
}

bool Interrupt::Fire() {
  std::unique_lock<std::mutex> lock(mutex_);
  if (scope_ == nullptr || scope_->fired_) return false;
  Scope* const scope = scope_;
  scope->fired_ = true;
  firing_ = true;
  lock.unlock();
  scope->on_fire_();
  lock.lock();
  firing_ = false;
  fire_over_.notify_all();
  return true;
}

void FireOnSigint(Interrupt* interrupt) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::thread([interrupt, set] {
    int signal_number = 0;
    while (sigwait(&set, &signal_number) == 0) {
      if (interrupt->Fire()) continue;
      // The default action, so that the shell sees a death by SIGINT.
      signal(SIGINT, SIG_DFL);
      pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
      raise(SIGINT);
    }
  }).detach();
}

}  // namespace tlin::client
