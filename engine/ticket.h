// An accepted request on its way to the engine's thread.
#ifndef TLIN_ENGINE_TICKET_H_
#define TLIN_ENGINE_TICKET_H_

#include <atomic>
#include <cstdint>
#include <memory>

#include "absl/time/time.h"
#include "engine/request.h"
#include "engine/token_sink.h"

namespace tlin {

// What the caller wants of a request that has not ended.
enum class CallerWish : uint8_t {
  kGoOn,
  kInterrupt,  // finish it with what there is
  kCancel,     // the caller has gone
};

struct Ticket {
  Request request;
  std::shared_ptr<TokenSink> sink;
  absl::Time submitted;
  // Set by any thread, read by the engine thread; it orders nothing but itself.
  std::shared_ptr<std::atomic<CallerWish>> wish;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_TICKET_H_
