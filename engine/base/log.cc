#include "engine/base/log.h"

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace tlin {
namespace {

const char* SeverityName(Severity severity) {
  switch (severity) {
    case Severity::kInfo:
      return "info";
    case Severity::kWarning:
      return "warning";
    case Severity::kError:
      return "error";
  }
  return "unknown";
}

}  // namespace

void Logger::Log(Severity severity, absl::string_view message,
                 std::initializer_list<LogField> fields) {
  nlohmann::ordered_json line;
  line["time"] = absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", absl::Now(),
                                  absl::UTCTimeZone());
  line["severity"] = SeverityName(severity);
  line["message"] = std::string(message);
  for (const LogField& field : fields) {
    std::visit(
        [&](auto value) {
          if constexpr (std::is_same_v<decltype(value), absl::string_view>) {
            line[std::string(field.name)] = std::string(value);
          } else {
            line[std::string(field.name)] = value;
          }
        },
        field.value);
  }
  // A log line never fails on bytes that are not UTF-8: they are replaced.
  Write(line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

void StderrLogger::Write(const std::string& line) {
  const std::string with_newline = line + "\n";
  const ssize_t written =
      ::write(STDERR_FILENO, with_newline.data(), with_newline.size());
  static_cast<void>(written);  // nowhere left to report a lost log line
}

}  // namespace tlin
