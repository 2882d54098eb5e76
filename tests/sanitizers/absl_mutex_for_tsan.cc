// Lets ThreadSanitizer see absl's locks. The distribution's libabsl is built
// without the sanitizer, so the annotations that absl::Mutex has are compiled
// out, and every datum that such a lock guards would be reported as a race.
//
// The functions here stand before those of libabsl_synchronization.so, for this
// program and for libgrpc alike: each tells the sanitizer what absl itself
// would, and calls the library's. Accesses between "pre" and "post" are not
// looked at, nor are the conditions that the library evaluates meanwhile.
// Only linked into builds with -DTLIN_SANITIZE=thread.
#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"

namespace {

// The definition of the same function in the library behind this one.
template <typename Method>
Method NextDefinition(Method method) {
  void* own;
  std::memcpy(&own, &method, sizeof(own));
  Dl_info info;
  if (dladdr(own, &info) == 0 || info.dli_sname == nullptr) std::abort();
  void* next = dlsym(RTLD_NEXT, info.dli_sname);
  if (next == nullptr || next == own) std::abort();
  std::memcpy(&method, &next, sizeof(next));
  return method;
}

template <auto kMethod, typename Object, typename... Args>
auto CallNext(Object* object, Args... args) {
  static const auto next = NextDefinition(kMethod);
  return (object->*next)(args...);
}

// One of the library's functions may call another; only the outer one tells.
thread_local int depth = 0;

class Call {
 public:
  Call() : outer_(depth++ == 0) {}
  ~Call() { --depth; }
  bool outer() const { return outer_; }

 private:
  const bool outer_;
};

constexpr unsigned kRead = __tsan_mutex_read_lock;

template <auto kMethod, typename... Args>
auto Acquire(absl::Mutex* mutex, unsigned flags, Args... args) {
  const Call call;
  if (call.outer()) __tsan_mutex_pre_lock(mutex, flags);
  struct Post {
    ~Post() {
      if (outer) __tsan_mutex_post_lock(mutex, flags, 0);
    }
    absl::Mutex* mutex;
    unsigned flags;
    bool outer;
  } post{mutex, flags, call.outer()};
  return CallNext<kMethod>(mutex, args...);
}

template <auto kMethod>
bool TryAcquire(absl::Mutex* mutex, unsigned flags) {
  const Call call;
  flags |= __tsan_mutex_try_lock;
  if (call.outer()) __tsan_mutex_pre_lock(mutex, flags);
  const bool held = CallNext<kMethod>(mutex);
  if (call.outer()) {
    __tsan_mutex_post_lock(
        mutex, held ? flags : flags | __tsan_mutex_try_lock_failed, 0);
  }
  return held;
}

template <auto kMethod>
void Release(absl::Mutex* mutex, unsigned flags) {
  const Call call;
  if (call.outer()) __tsan_mutex_pre_unlock(mutex, flags);
  CallNext<kMethod>(mutex);
  if (call.outer()) __tsan_mutex_post_unlock(mutex, flags);
}

// Lets go of the lock and has it again when it returns. absl does not say here
// whether it is held for reading; nothing in this project waits with such a
// lock.
template <auto kMethod, typename Object, typename... Args>
auto Wait(Object* object, absl::Mutex* mutex, Args... args) {
  const Call call;
  struct Around {
    Around(absl::Mutex* mutex, bool outer) : mutex(mutex), outer(outer) {
      if (!outer) return;
      __tsan_mutex_pre_unlock(mutex, 0);
      __tsan_mutex_post_unlock(mutex, 0);
      __tsan_mutex_pre_lock(mutex, 0);
    }
    ~Around() {
      if (outer) __tsan_mutex_post_lock(mutex, 0, 0);
    }
    absl::Mutex* mutex;
    bool outer;
  } around(mutex, call.outer());
  return CallNext<kMethod>(object, args...);
}

using ConditionRef = const absl::Condition&;

}  // namespace

namespace absl {
ABSL_NAMESPACE_BEGIN

void Mutex::Lock() { Acquire<&Mutex::Lock>(this, 0); }
void Mutex::Unlock() { Release<&Mutex::Unlock>(this, 0); }
bool Mutex::TryLock() { return TryAcquire<&Mutex::TryLock>(this, 0); }
void Mutex::ReaderLock() { Acquire<&Mutex::ReaderLock>(this, kRead); }
void Mutex::ReaderUnlock() { Release<&Mutex::ReaderUnlock>(this, kRead); }
bool Mutex::ReaderTryLock() {
  return TryAcquire<&Mutex::ReaderTryLock>(this, kRead);
}

void Mutex::LockWhen(ConditionRef condition) {
  Acquire<&Mutex::LockWhen, ConditionRef>(this, 0, condition);
}
bool Mutex::LockWhenWithTimeout(ConditionRef condition, Duration timeout) {
  return Acquire<&Mutex::LockWhenWithTimeout, ConditionRef>(this, 0, condition,
                                                            timeout);
}
bool Mutex::LockWhenWithDeadline(ConditionRef condition, Time deadline) {
  return Acquire<&Mutex::LockWhenWithDeadline, ConditionRef>(this, 0, condition,
                                                             deadline);
}
void Mutex::ReaderLockWhen(ConditionRef condition) {
  Acquire<&Mutex::ReaderLockWhen, ConditionRef>(this, kRead, condition);
}

void Mutex::Await(ConditionRef condition) {
  Wait<&Mutex::Await, Mutex, ConditionRef>(this, this, condition);
}
bool Mutex::AwaitWithTimeout(ConditionRef condition, Duration timeout) {
  return Wait<&Mutex::AwaitWithTimeout, Mutex, ConditionRef>(
      this, this, condition, timeout);
}
bool Mutex::AwaitWithDeadline(ConditionRef condition, Time deadline) {
  return Wait<&Mutex::AwaitWithDeadline, Mutex, ConditionRef>(
      this, this, condition, deadline);
}

void CondVar::Wait(Mutex* mutex) { ::Wait<&CondVar::Wait>(this, mutex, mutex); }
bool CondVar::WaitWithTimeout(Mutex* mutex, Duration timeout) {
  return ::Wait<&CondVar::WaitWithTimeout>(this, mutex, mutex, timeout);
}
bool CondVar::WaitWithDeadline(Mutex* mutex, Time deadline) {
  return ::Wait<&CondVar::WaitWithDeadline>(this, mutex, mutex, deadline);
}

// HasBeenNotified, which is inline, reads the flag without the lock: the writer
// has to be compiled with the sanitizer, too.
void Notification::Notify() {
  const MutexLock lock(&mutex_);
  notified_yet_.store(true, std::memory_order_release);
}
Notification::~Notification() { const MutexLock lock(&mutex_); }
void Notification::WaitForNotification() const {
  mutex_.LockWhen(Condition(&HasBeenNotifiedInternal, &notified_yet_));
  mutex_.Unlock();
}
bool Notification::WaitForNotificationWithTimeout(Duration timeout) const {
  const bool notified = mutex_.LockWhenWithTimeout(
      Condition(&HasBeenNotifiedInternal, &notified_yet_), timeout);
  mutex_.Unlock();
  return notified;
}
bool Notification::WaitForNotificationWithDeadline(Time deadline) const {
  const bool notified = mutex_.LockWhenWithDeadline(
      Condition(&HasBeenNotifiedInternal, &notified_yet_), deadline);
  mutex_.Unlock();
  return notified;
}

ABSL_NAMESPACE_END
}  // namespace absl
