#include "server/readiness_monitor.h"

#include <algorithm>
#include <utility>

namespace tlin {

ReadinessMonitor::ReadinessMonitor(const Engine* engine, absl::Duration stall,
                                   std::function<void(bool)> report,
                                   Logger* logger)
    : engine_(engine),
      stall_(stall),
      report_(std::move(report)),
      logger_(logger),
      thread_([this] { Watch(); }) {}

ReadinessMonitor::~ReadinessMonitor() {
  {
    absl::MutexLock lock(&mutex_);
    stop_ = true;
  }
  thread_.join();
}

void ReadinessMonitor::Watch() {
  const absl::Duration period =
      std::clamp(stall_ / 4, absl::Milliseconds(5), absl::Seconds(1));
  bool ready = true;
  report_(ready);
  while (!StopWithin(period)) {
    const absl::Duration stalled = engine_->TimeSinceProgress();
    const bool now_ready = stalled < stall_;
    if (now_ready == ready) continue;
    ready = now_ready;
    report_(ready);
    logger_->Log(ready ? Severity::kInfo : Severity::kError,
                 ready ? "the engine makes progress again: ready"
                       : "the engine makes no progress: not ready",
                 {{"stalled_seconds", absl::ToDoubleSeconds(stalled)}});
  }
}

bool ReadinessMonitor::StopWithin(absl::Duration period) {
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(&stop_), period);
}

}  // namespace tlin
