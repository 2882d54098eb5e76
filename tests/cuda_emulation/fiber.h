// A thread of a kernel: a stack of its own, on which it runs until it waits.
#ifndef TLIN_TESTS_CUDA_EMULATION_FIBER_H_
#define TLIN_TESTS_CUDA_EMULATION_FIBER_H_

#include <cstddef>

namespace cuda_emulation {

// Used by one host thread at a time. The sanitizers are told of every switch:
// AddressSanitizer of the stack, ThreadSanitizer of a thread of its own.
class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // It begins at `entry`, which never returns: it ends with Exit.
  // REQUIRES: the fiber is new, or has ended.
  void Begin(void (*entry)(void*), void* argument);
  // Runs it, and those that it goes on to, until one goes back. Not from a
  // fiber.
  void Resume();
  // Both in the fiber itself: goes on to another one, or back where that is
  // null.
  void Yield(Fiber* next);
  [[noreturn]] void Exit(Fiber* next);

 private:
  struct Context;
  static Context& Host();
  static void Switch(Context* from, Context* to, bool for_good);

  Context* const context_;
};

}  // namespace cuda_emulation

#endif  // TLIN_TESTS_CUDA_EMULATION_FIBER_H_
