// What every call needs, and what Generate and Score have in common.
#ifndef TLIN_SERVER_CALL_SERVICES_H_
#define TLIN_SERVER_CALL_SERVICES_H_

#include <chrono>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/token_sink.h"
#include "server/calls_in_flight.h"
#include "server/credentials.h"
#include "server/prometheus_listener.h"
#include "server/request_ids.h"
#include "server/served_model.h"

namespace tlin {

// Pointers are borrowed: all outlive every call. Thread-safe.
struct CallServices {
  Clock* clock = nullptr;  // the engine's
  Logger* logger = nullptr;
  PrometheusListener* metrics = nullptr;
  RequestIds* ids = nullptr;
  CallsInFlight* calls = nullptr;
  const Credentials* credentials = nullptr;
  int64_t max_message_bytes = 0;  // of a request
  bool log_requests = true;
};

// When the engine has to be done for its last words to reach the client before
// gRPC cuts the call off at `deadline`: earlier by 5 % of the time left, at
// most 100 ms and 1 %. By the engine's clock, of which it is `now`.
absl::Time EngineDeadline(std::chrono::system_clock::time_point deadline,
                          absl::Time now);

// A failure as its caller is told it: with RetryInfo where it may be tried
// again later, and sessions by their owner's names. `model` is null while it is
// loading.
absl::Status ForCaller(absl::Status status, const Caller& caller,
                       const ServedModel* model);

// A call's last line in the log.
struct CallRecord {
  absl::string_view method;
  absl::string_view request_id;
  absl::string_view client;
  absl::Status status;
  Usage usage;
  Timing timing;
};
void LogCall(const CallServices& services, const CallRecord& record);

}  // namespace tlin

#endif  // TLIN_SERVER_CALL_SERVICES_H_
