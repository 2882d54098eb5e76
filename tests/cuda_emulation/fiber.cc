#include "tests/cuda_emulation/fiber.h"

#include <sys/mman.h>

#include <boost/context/detail/fcontext.hpp>
#include <cstdio>
#include <cstdlib>

#include "tests/cuda_emulation/sanitizers.h"

namespace cuda_emulation {
namespace {

namespace context = boost::context::detail;

constexpr size_t kStackBytes = 64 << 10;
constexpr size_t kGuardBytes = 4096;  // below: an overflow ends the process

char* MapStack() {
  void* const memory =
      mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory, kGuardBytes, PROT_NONE) != 0) {
    std::perror("cuda_emulation: no stack for a thread of a kernel");
    std::abort();
  }
  return static_cast<char*>(memory) + kGuardBytes;
}

char* StackOf(const void* stack) {
  return static_cast<char*>(const_cast<void*>(stack));
}

}  // namespace

// A stack and where on it to go on.
struct Fiber::Context {
  context::fcontext_t place = nullptr;
  Context* to = nullptr;  // whom it has switched to
  void (*entry)(void*) = nullptr;
  void* argument = nullptr;
  // What the sanitizers know it by.
  const void* stack = nullptr;
  size_t stack_bytes = 0;
  void* fake_stack = nullptr;
  void* thread = nullptr;

  // On another's stack no longer.
  static Context* Arrive(context::transfer_t from) {
    auto* const left = static_cast<Context*>(from.data);
    left->place = from.fctx;
    FinishStackSwitch(left->to->fake_stack, &left->stack, &left->stack_bytes);
    return left->to;
  }
};

Fiber::Fiber() : context_(new Context) {
  context_->stack = MapStack();
  context_->stack_bytes = kStackBytes;
  context_->thread = CreateSanitizedThread();
}

Fiber::~Fiber() {
  DestroySanitizedThread(context_->thread);
  munmap(StackOf(context_->stack) - kGuardBytes, kGuardBytes + kStackBytes);
  delete context_;
}

// Of this host thread, outside fibers.
Fiber::Context& Fiber::Host() {
  static thread_local Context host;
  return host;
}

void Fiber::Begin(void (*entry)(void*), void* argument) {
  context_->entry = entry;
  context_->argument = argument;
  context_->fake_stack = nullptr;
  context_->place =
      context::make_fcontext(StackOf(context_->stack) + kStackBytes,
                             kStackBytes, [](context::transfer_t from) {
                               Context* const self = Context::Arrive(from);
                               self->entry(self->argument);
                               std::abort();  // it ends with Exit
                             });
}

void Fiber::Switch(Context* from, Context* to, bool for_good) {
  from->to = to;
  StartStackSwitch(for_good ? nullptr : &from->fake_stack, to->stack,
                   to->stack_bytes);
  SwitchSanitizedThread(to->thread);
  Context::Arrive(context::jump_fcontext(to->place, from));
}

void Fiber::Resume() {
  Host().thread = CurrentSanitizedThread();
  Switch(&Host(), context_, /*for_good=*/false);
}

void Fiber::Yield(Fiber* next) {
  Switch(context_, next == nullptr ? &Host() : next->context_,
         /*for_good=*/false);
}

void Fiber::Exit(Fiber* next) {
  Switch(context_, next == nullptr ? &Host() : next->context_,
         /*for_good=*/true);
  std::abort();
}

}  // namespace cuda_emulation
