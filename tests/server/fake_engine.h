// An Engine whose requests do what the test says, when it says so.
#ifndef TLIN_TESTS_SERVER_FAKE_ENGINE_H_
#define TLIN_TESTS_SERVER_FAKE_ENGINE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "engine/engine.h"
#include "engine/validate_request.h"

namespace tlin {

// Thread-safe. The test plays the engine thread: it calls the sinks.
class FakeEngine final : public Engine {
 public:
  struct Call {
    Request request;
    std::shared_ptr<TokenSink> sink;
  };

  explicit FakeEngine(const RequestLimits& limits) : limits_(limits) {}

  // Submit refuses with `status` from now on; OK: accepts again.
  void RefuseWith(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);
  void SetTimeSinceProgress(absl::Duration time) ABSL_LOCKS_EXCLUDED(mutex_);
  void SetRetryDelay(absl::Duration delay) ABSL_LOCKS_EXCLUDED(mutex_);

  // The oldest accepted request that was not taken yet; waits for it.
  Call Take() ABSL_LOCKS_EXCLUDED(mutex_);
  // False: nobody cancelled it within a minute.
  bool WaitForCancel(const std::string& id) ABSL_LOCKS_EXCLUDED(mutex_);

  absl::Status Restore() override { return absl::OkStatus(); }
  void Start() override {}
  absl::Status Submit(Request request,
                      std::shared_ptr<TokenSink> sink) override;
  absl::Status WithSessions(const SessionScope&,
                            absl::AnyInvocable<void(Sessions&)>) override {
    return absl::UnavailableError("a fake engine has no sessions");
  }
  std::string EncodeSnapshot(const Snapshot&) const override { return ""; }
  absl::StatusOr<Snapshot> DecodeSnapshot(absl::string_view,
                                          absl::string_view) const override {
    return absl::DataLossError("a fake engine has no snapshots");
  }
  int64_t MaxSnapshotBytes() const override { return 1 << 20; }
  void Cancel(absl::string_view request_id) override;
  void Interrupt(absl::string_view) override {}
  void BeginDrain() override;
  bool WaitUntilIdle(absl::Duration) override { return true; }
  bool StopWithin(absl::Duration) override { return true; }
  bool WaitUntilStored(absl::Duration) override { return true; }
  absl::Duration TimeSinceProgress() const override;
  absl::Duration RetryDelay() const override;

 private:
  const RequestLimits limits_;

  mutable absl::Mutex mutex_;
  absl::Status refusal_ ABSL_GUARDED_BY(mutex_);
  absl::Duration stalled_ ABSL_GUARDED_BY(mutex_);
  absl::Duration retry_ ABSL_GUARDED_BY(mutex_) = absl::Seconds(3);
  std::vector<Call> calls_ ABSL_GUARDED_BY(mutex_);
  size_t taken_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::string> cancelled_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tlin

#endif  // TLIN_TESTS_SERVER_FAKE_ENGINE_H_
