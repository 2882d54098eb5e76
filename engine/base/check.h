// TLIN_CHECK: broken invariants only. Bad input is an absl::Status, never a
// check.
#ifndef TLIN_ENGINE_BASE_CHECK_H_
#define TLIN_ENGINE_BASE_CHECK_H_

namespace tlin {

// Prints file, line and the condition to stderr, then aborts.
[[noreturn]] void CheckFailed(const char* file, int line,
                              const char* condition);

}  // namespace tlin

#define TLIN_CHECK(condition)   \
  (static_cast<bool>(condition) \
       ? static_cast<void>(0)   \
       : ::tlin::CheckFailed(__FILE__, __LINE__, #condition))

#endif  // TLIN_ENGINE_BASE_CHECK_H_
