// Lets ThreadSanitizer follow a call through gRPC. The distribution's libgrpc
// is built without the sanitizer and hands a call from thread to thread by
// atomics that are not seen.
//
// The functions here stand before those of libgrpc.so: what a thread did before
// it started a batch of a call happened before all that follows the end of a
// batch of that call. gRPC's headers let go of the call at the end of every
// batch, before the reaction runs.
// Only linked into builds with -DTLIN_SANITIZE=thread.
#include <dlfcn.h>
#include <grpc/grpc.h>
#include <grpcpp/support/server_callback.h>
#include <sanitizer/tsan_interface.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace {

// The definition in the library behind this one.
void* NextDefinition(const char* name) {
  void* const next = dlsym(RTLD_NEXT, name);
  if (next == nullptr) std::abort();
  return next;
}

}  // namespace

// Reactions count down, here as in the library; the last one, which may be the
// library's, comes here and schedules OnDone after all of them.
void grpc::internal::ServerCallbackCall::ScheduleOnDone(bool inline_ondone) {
  static const auto next = [] {
    auto method = &ServerCallbackCall::ScheduleOnDone;
    void* address;
    std::memcpy(&address, &method, sizeof(address));
    Dl_info info;
    if (dladdr(address, &info) == 0) std::abort();
    address = NextDefinition(info.dli_sname);
    std::memcpy(&method, &address, sizeof(address));
    return method;
  }();
  callbacks_outstanding_.load(std::memory_order_acquire);
  (this->*next)(inline_ondone);
}

extern "C" {

grpc_call_error grpc_call_start_batch(grpc_call* call, const grpc_op* ops,
                                      size_t op_count, void* tag,
                                      void* reserved) {
  static auto* const next = reinterpret_cast<decltype(grpc_call_start_batch)*>(
      NextDefinition("grpc_call_start_batch"));
  __tsan_release(call);
  return next(call, ops, op_count, tag, reserved);
}

void grpc_call_unref(grpc_call* call) {
  static auto* const next = reinterpret_cast<decltype(grpc_call_unref)*>(
      NextDefinition("grpc_call_unref"));
  __tsan_acquire(call);
  next(call);
}

// What libraries without the sanitizer do to memory (by memcpy, free) is not
// looked at: it could not be ordered. An allocation that cannot be had is null,
// as without the sanitizer.
const char* __tsan_default_options() {
  return "ignore_noninstrumented_modules=1:allocator_may_return_null=1";
}

// Code of gRPC's own headers, compiled here, on objects that libgrpc orders.
// None of these functions calls anything of this project. gRPC's own threads
// (ours are std::threads) may end a moment after the program.
const char* __tsan_default_suppressions() {
  return "race:grpc::internal::CallOpSet<*>::FinalizeResult\n"
         "race:grpc::internal::CallOpSet<*>::~CallOpSet\n"
         "race:grpc::internal::CallbackWithSuccessTag::Clear\n"
         "race_top:grpc::internal::CallbackWithSuccessTag::Run\n"
         "race:ServerCallbackUnaryImpl::reactor\n"
         "race:ServerCallbackWriterImpl::reactor\n"
         "race:grpc::ServerUnaryReactor::~ServerUnaryReactor\n"
         "thread:grpc_core::Thread::Thread\n";
}

}  // extern "C"
