// Early return on absl::Status errors.
#ifndef TLIN_ENGINE_BASE_STATUS_MACROS_H_
#define TLIN_ENGINE_BASE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define TLIN_RETURN_IF_ERROR(expr)             \
  do {                                         \
    absl::Status tlin_status = (expr);         \
    if (!tlin_status.ok()) return tlin_status; \
  } while (false)

#define TLIN_CONCAT_INNER(a, b) a##b
#define TLIN_CONCAT(a, b) TLIN_CONCAT_INNER(a, b)

// TLIN_ASSIGN_OR_RETURN(auto file, Open(path));
#define TLIN_ASSIGN_OR_RETURN(lhs, expr) \
  TLIN_ASSIGN_OR_RETURN_IMPL(TLIN_CONCAT(tlin_statusor_, __LINE__), lhs, expr)
#define TLIN_ASSIGN_OR_RETURN_IMPL(statusor, lhs, expr) \
  auto statusor = (expr);                               \
  if (!statusor.ok()) return statusor.status();         \
  lhs = *std::move(statusor)

#endif  // TLIN_ENGINE_BASE_STATUS_MACROS_H_
