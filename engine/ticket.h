// An accepted request on its way to the engine's thread.
#ifndef TLIN_ENGINE_TICKET_H_
#define TLIN_ENGINE_TICKET_H_

#include <atomic>
#include <memory>

#include "absl/time/time.h"
#include "engine/request.h"
#include "engine/token_sink.h"

namespace tlin {

struct Ticket {
  Request request;
  std::shared_ptr<TokenSink> sink;
  absl::Time submitted;
  // Set by any thread when the caller has gone, read by the engine thread; it
  // orders nothing but itself.
  std::shared_ptr<std::atomic<bool>> cancelled;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_TICKET_H_
