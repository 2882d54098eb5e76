#include "server/call_services.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "server/status_codec.h"

namespace tlin {
namespace {

// Loading and draining end by themselves; another replica may serve at once.
constexpr absl::Duration kUnavailableRetry = absl::Seconds(1);
constexpr absl::Duration kLastWords = absl::Milliseconds(100);

}  // namespace

absl::Time EngineDeadline(std::chrono::system_clock::time_point deadline,
                          absl::Time now) {
  if (deadline == std::chrono::system_clock::time_point::max()) {
    return absl::InfiniteFuture();
  }
  const absl::Duration left = absl::FromChrono(deadline) - absl::Now();
  // The wire carries a time-out in three digits, rounded up: what we see may be
  // 1 % later than what the client waits for.
  const absl::Duration margin = std::min(left / 20, kLastWords + left / 100);
  return now + left - std::max(margin, absl::ZeroDuration());
}

absl::Status ForCaller(absl::Status status, const Caller& caller,
                       const ServedModel* model) {
  status = WithoutOwner(caller.owner, std::move(status));
  if (absl::IsResourceExhausted(status) && model != nullptr) {
    return WithRetryDelay(std::move(status), model->engine->RetryDelay());
  }
  if (absl::IsUnavailable(status)) {
    return WithRetryDelay(std::move(status), kUnavailableRetry);
  }
  return status;
}

void LogCall(const CallServices& services, const CallRecord& record) {
  if (!services.log_requests) return;
  const Severity severity =
      absl::IsInternal(record.status) ? Severity::kError : Severity::kInfo;
  services.logger->Log(
      severity, "request ended",
      {{"request_id", record.request_id},
       {"method", record.method},
       {"client", record.client},
       {"status", absl::StatusCodeToString(record.status.code())},
       {"detail", absl::string_view(record.status.message())},
       {"prompt_tokens", record.usage.prompt_tokens},
       {"generated_tokens", record.usage.generated_tokens},
       {"queue_seconds", absl::ToDoubleSeconds(record.timing.queue)},
       {"total_seconds", absl::ToDoubleSeconds(record.timing.total)}});
}

}  // namespace tlin
