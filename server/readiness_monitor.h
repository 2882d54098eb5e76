// Tells load balancers when the engine is stuck, and when it is not any more.
#ifndef TLIN_SERVER_READINESS_MONITOR_H_
#define TLIN_SERVER_READINESS_MONITOR_H_

#include <functional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "engine/base/log.h"
#include "engine/engine.h"

namespace tlin {

// Ready: the engine has made progress within `stall`, or has nothing to do. A
// full queue is no reason to be taken out of service; a stuck thread is.
class ReadinessMonitor {
 public:
  // Reports true now, and each change later, on the monitor's own thread.
  // `engine` and `logger` outlive the monitor.
  ReadinessMonitor(const Engine* engine, absl::Duration stall,
                   std::function<void(bool ready)> report, Logger* logger);
  // Nothing is reported after this.
  ~ReadinessMonitor();

 private:
  void Watch() ABSL_LOCKS_EXCLUDED(mutex_);
  bool StopWithin(absl::Duration period) ABSL_LOCKS_EXCLUDED(mutex_);

  // Constant after construction.
  const Engine* const engine_;
  const absl::Duration stall_;
  const std::function<void(bool)> report_;
  Logger* const logger_;

  absl::Mutex mutex_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;  // last: it uses the others
};

}  // namespace tlin

#endif  // TLIN_SERVER_READINESS_MONITOR_H_
