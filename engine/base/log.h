// One JSON object a line. The logger is a parameter: there is no global one.
#ifndef TLIN_ENGINE_BASE_LOG_H_
#define TLIN_ENGINE_BASE_LOG_H_

#include <cstdint>
#include <initializer_list>
#include <string>
#include <variant>

#include "absl/strings/string_view.h"

namespace tlin {

enum class Severity { kInfo, kWarning, kError };

// A named value of a log line: {"slots", 16} or {"request_id", id}.
struct LogField {
  absl::string_view name;
  std::variant<absl::string_view, int64_t, double, bool> value;
};

// Thread-safe.
class Logger {
 public:
  virtual ~Logger() = default;

  // `message` is constant prose; what varies goes into `fields`.
  void Log(Severity severity, absl::string_view message,
           std::initializer_list<LogField> fields = {});

 protected:
  // `line` is one JSON object without the newline.
  virtual void Write(const std::string& line) = 0;
};

// Writes each line with one write(2), so that lines never interleave.
class StderrLogger final : public Logger {
 protected:
  void Write(const std::string& line) override;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_BASE_LOG_H_
