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

}  // namespace

struct Fiber::Context {
  char* stack = MapStack();
  context::fcontext_t own = nullptr;
  context::fcontext_t host = nullptr;
  void (*entry)(void*) = nullptr;
  void* argument = nullptr;
  // What the sanitizers keep of each side.
  void* own_fake_stack = nullptr;
  void* host_fake_stack = nullptr;
  const void* host_stack = nullptr;
  size_t host_stack_bytes = 0;
  void* own_thread = CreateSanitizedThread();
  void* host_thread = nullptr;
};

Fiber::Fiber() : context_(new Context) {}

Fiber::~Fiber() {
  DestroySanitizedThread(context_->own_thread);
  munmap(context_->stack - kGuardBytes, kGuardBytes + kStackBytes);
  delete context_;
}

void Fiber::Enter(Context* context) {
  FinishStackSwitch(nullptr, &context->host_stack, &context->host_stack_bytes);
  context->entry(context->argument);
  std::abort();  // it ends with Exit
}

void Fiber::Begin(void (*entry)(void*), void* argument) {
  context_->entry = entry;
  context_->argument = argument;
  context_->own = context::make_fcontext(
      context_->stack + kStackBytes, kStackBytes, [](context::transfer_t from) {
        auto* const self = static_cast<Context*>(from.data);
        self->host = from.fctx;
        Enter(self);
      });
}

void Fiber::Resume() {
  context_->host_thread = CurrentSanitizedThread();
  StartStackSwitch(&context_->host_fake_stack, context_->stack, kStackBytes);
  SwitchSanitizedThread(context_->own_thread);
  context_->own = context::jump_fcontext(context_->own, context_).fctx;
  FinishStackSwitch(context_->host_fake_stack, nullptr, nullptr);
}

void Fiber::SwitchBack(bool for_good) {
  StartStackSwitch(for_good ? nullptr : &context_->own_fake_stack,
                   context_->host_stack, context_->host_stack_bytes);
  SwitchSanitizedThread(context_->host_thread);
  context_->host = context::jump_fcontext(context_->host, context_).fctx;
  FinishStackSwitch(context_->own_fake_stack, &context_->host_stack,
                    &context_->host_stack_bytes);
}

void Fiber::Yield() { SwitchBack(/*for_good=*/false); }

void Fiber::Exit() {
  SwitchBack(/*for_good=*/true);
  std::abort();
}

}  // namespace cuda_emulation
