// Ctrl-C as something that a command may listen to, so that commands know no
// signals and tests can press it.
#ifndef TLIN_CLIENT_INTERRUPT_H_
#define TLIN_CLIENT_INTERRUPT_H_

#include <condition_variable>
#include <functional>
#include <mutex>

namespace tlin::client {

// Thread-safe.
class Interrupt {
 public:
  // While alive, the next Fire() calls `on_fire`, once, on the firing thread.
  // When the destructor returns, the call is over or will not come. One scope
  // at a time.
  class Scope {
   public:
    Scope(Interrupt* interrupt, std::function<void()> on_fire);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

    bool fired() const;

   private:
    Interrupt* const interrupt_;
    const std::function<void()> on_fire_;
    bool fired_ = false;  // guarded by interrupt_->mutex_

    friend class Interrupt;
  };

  // False where nobody listens, or where the listener was told already: the
  // program should then end.
  bool Fire();

 private:
  std::mutex mutex_;
  std::condition_variable fire_over_;
  // Guarded by mutex_.
  Scope* scope_ = nullptr;  // null: nobody listens
  bool firing_ = false;     // on_fire_ runs; the scope waits for its end
};

// Ctrl-C of the process. REQUIRES: called before any other thread exists, since
// it blocks SIGINT for all of them. Its thread lives as long as the process and
// ends it by the signal where Fire() returns false.
void FireOnSigint(Interrupt* interrupt);

}  // namespace tlin::client

#endif  // TLIN_CLIENT_INTERRUPT_H_
