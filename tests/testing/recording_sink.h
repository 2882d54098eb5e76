// A TokenSink that remembers, and notices events out of order.
#ifndef TLIN_TESTS_TESTING_RECORDING_SINK_H_
#define TLIN_TESTS_TESTING_RECORDING_SINK_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "engine/token_sink.h"

namespace tlin {

// Thread-safe.
class RecordingSink final : public TokenSink {
 public:
  // Called, on the engine thread and without a lock, after the event.
  std::function<void()> on_start;
  std::function<void(const Chunk&)> on_chunk;

  void OnStarted(const Started& started) override;
  void OnChunk(const Chunk& chunk) override;
  void OnFinished(const Finished& finished) override;
  void OnError(const absl::Status& status) override;

  // False after `timeout`: a test's way to fail rather than to hang.
  bool WaitForEnd(absl::Duration timeout = absl::Seconds(60));
  bool WaitForTokens(size_t tokens, absl::Duration timeout = absl::Seconds(60));

  bool started() const;
  bool ended() const;
  std::optional<Started> start() const;
  // Set where it finished; otherwise see status().
  std::optional<Finished> finished() const;
  // OK until OnError.
  absl::Status status() const;
  // All chunks' together.
  std::string text() const;
  std::vector<TokenId> token_ids() const;
  std::vector<TokenLogprobs> logprobs() const;
  std::vector<Chunk> chunks() const;
  // What broke TokenSink's contract; empty where nothing did.
  std::vector<std::string> faults() const;

 private:
  void Expect(bool condition, const char* fault)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  std::optional<Started> start_ ABSL_GUARDED_BY(mutex_);
  std::vector<Chunk> chunks_ ABSL_GUARDED_BY(mutex_);
  size_t tokens_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<Finished> finished_ ABSL_GUARDED_BY(mutex_);
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::string> faults_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tlin

#endif  // TLIN_TESTS_TESTING_RECORDING_SINK_H_
