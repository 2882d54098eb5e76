// Names and seeds for requests.
#ifndef TLIN_SERVER_REQUEST_IDS_H_
#define TLIN_SERVER_REQUEST_IDS_H_

#include <cstdint>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/random/random.h"
#include "absl/synchronization/mutex.h"

namespace tlin {

// Thread-safe.
class RequestIds {
 public:
  RequestIds();

  // Unique in this process, and in all likelihood among replicas:
  // "5f0c9a3b-17".
  std::string NextId() ABSL_LOCKS_EXCLUDED(mutex_);
  // A session's name that nobody guesses: "session-" and 128 random bits in
  // hexadecimal.
  std::string NextSession();
  // For requests that bring no seed.
  uint64_t NextSeed() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  absl::Mutex mutex_;
  absl::BitGen random_ ABSL_GUARDED_BY(mutex_);
  uint64_t count_ ABSL_GUARDED_BY(mutex_) = 0;

  std::string prefix_;  // constant after construction
};

}  // namespace tlin

#endif  // TLIN_SERVER_REQUEST_IDS_H_
