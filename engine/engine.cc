#include "engine/engine.h"

#include <algorithm>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "engine/base/status_macros.h"
#include "engine/engine_loop.h"
#include "engine/inbox.h"
#include "engine/session/read_sessions.h"
#include "engine/session/store_thread.h"
#include "engine/validate_request.h"

namespace tlin {
namespace {

constexpr absl::Duration kShortestRetry = absl::Milliseconds(100);
constexpr absl::Duration kLongestRetry = absl::Seconds(30);

RequestLimits MakeLimits(const EngineOptions& options, const ModelInfo& info,
                         const Tokenizer* tokenizer,
                         std::optional<TokenId> eos_token_id) {
  RequestLimits limits;
  limits.vocab_size = info.vocab_size;
  limits.max_context_tokens = info.max_context_tokens;
  limits.max_prompt_tokens = info.max_context_tokens;
  if (options.max_prompt_tokens > 0) {
    limits.max_prompt_tokens =
        std::min(options.max_prompt_tokens, info.max_context_tokens);
  }
  limits.has_tokenizer = tokenizer != nullptr;
  limits.eos_token_id = eos_token_id;
  return limits;
}

// At least as long as any: the longest history and a full window.
int64_t LongestSnapshot(const ModelRunner& model) {
  const int64_t tokens = model.info().max_context_tokens;
  const int64_t window = model.info().generation_window;
  const auto bytes = [&](int64_t history_tokens, int64_t window_tokens) {
    return model.StateBytes({history_tokens, window_tokens}).value();
  };
  const int64_t state = window == 0 ? bytes(0, tokens)
                                    : bytes(tokens / window * window, 0) +
                                          bytes(0, std::min(window, tokens));
  return SnapshotBytes(tokens, state);
}

class ThreadedEngine final : public Engine {
 public:
  ThreadedEngine(const EngineOptions& options, ModelRunner* model,
                 const Tokenizer* tokenizer,
                 std::optional<TokenId> eos_token_id, EngineListener* listener,
                 Clock* clock, Logger* logger, SessionStore* store)
      : model_(model),
        clock_(clock),
        logger_(logger),
        store_(store),
        limits_(MakeLimits(options, model->info(), tokenizer, eos_token_id)),
        slots_(model->info().slots),
        max_snapshot_bytes_(LongestSnapshot(*model)),
        inbox_(std::max(options.max_queued_requests, 1), clock),
        loop_(options, model, tokenizer, eos_token_id, listener, clock, logger,
              &inbox_) {
    if (store == nullptr) return;
    store_thread_ = std::make_unique<StoreThread>(
        store, model, clock,
        [this](ShelfResult result) { inbox_.Deliver(std::move(result)); });
    loop_.UseShelf(store_thread_.get(), store->shared() != nullptr);
  }

  ~ThreadedEngine() override { Stop(); }

  absl::Status Restore() override {
    // What is shared is fetched when it is wanted.
    if (store_ == nullptr || store_->shared() != nullptr) {
      return absl::OkStatus();
    }
    TLIN_ASSIGN_OR_RETURN(auto sessions,
                          ReadSessions(*model_, store_, logger_));
    for (auto& [id, head] : sessions) {
      TLIN_RETURN_IF_ERROR(loop_.Restore(id, std::move(head)));
    }
    return absl::OkStatus();
  }

  void Start() override {
    absl::MutexLock lock(&thread_mutex_);
    if (ended_ || thread_.joinable()) return;
    thread_ = std::thread([this] { RunLoop(); });
  }

  absl::Status Submit(Request request,
                      std::shared_ptr<TokenSink> sink) override {
    TLIN_RETURN_IF_ERROR(ValidateRequest(request, limits_));
    TLIN_RETURN_IF_ERROR(CheckEverFits(
        *model_, MaxTokensOf(request, 0, limits_.max_context_tokens)));
    if (request.deadline <= clock_->Now()) {
      return absl::DeadlineExceededError("the deadline has passed already");
    }
    return inbox_.Submit(std::move(request), std::move(sink));
  }

  absl::Status WithSessions(
      const SessionScope& scope,
      absl::AnyInvocable<void(Sessions&)> command) override {
    return inbox_.Post(std::move(command), scope);
  }

  std::string EncodeSnapshot(const Snapshot& snapshot) const override {
    return tlin::EncodeSnapshot(snapshot, model_->info());
  }
  absl::StatusOr<Snapshot> DecodeSnapshot(
      absl::string_view bytes, absl::string_view name) const override {
    return tlin::DecodeSnapshot(bytes, name, *model_);
  }
  int64_t MaxSnapshotBytes() const override { return max_snapshot_bytes_; }

  void Cancel(absl::string_view request_id) override {
    inbox_.Cancel(request_id);
  }

  void Interrupt(absl::string_view request_id) override {
    inbox_.Interrupt(request_id);
  }

  void BeginDrain() override { inbox_.BeginDrain(); }

  bool WaitUntilIdle(absl::Duration timeout) override {
    return inbox_.WaitUntilIdle(timeout);
  }

  bool StopWithin(absl::Duration timeout) override {
    inbox_.Stop();
    absl::MutexLock lock(&thread_mutex_);
    if (ended_) return true;
    if (!thread_.joinable()) {
      RunLoop();  // never started: ends what was submitted
    } else if (loop_ended_.WaitForNotificationWithTimeout(timeout)) {
      thread_.join();
    } else {
      return false;
    }
    ended_ = true;
    return true;
  }

  bool WaitUntilStored(absl::Duration timeout) override {
    return store_thread_ == nullptr || store_thread_->WaitUntilDone(timeout);
  }

  absl::Duration TimeSinceProgress() const override {
    return inbox_.TimeSinceProgress();
  }

  absl::Duration RetryDelay() const override {
    // By then about one of those that wait now has a slot.
    const absl::Duration delay =
        loop_.AverageHold() * (inbox_.waiting() + 1) / slots_;
    return std::clamp(delay, kShortestRetry, kLongestRetry);
  }

 private:
  void RunLoop() {
    Inbox::Mail mail;
    while (inbox_.Take(loop_.busy(), &mail)) loop_.Step(&mail);
    loop_.EndAll(&mail, absl::UnavailableError("the engine stops"));
    loop_ended_.Notify();
  }

  // Constant after construction; of the model only its constants are read here.
  const ModelRunner* const model_;
  Clock* const clock_;
  Logger* const logger_;
  SessionStore* const store_;
  const RequestLimits limits_;
  const int32_t slots_;
  const int64_t max_snapshot_bytes_;

  Inbox inbox_;      // thread-safe
  EngineLoop loop_;  // engine thread only
  std::unique_ptr<StoreThread> store_thread_;

  absl::Notification loop_ended_;
  absl::Mutex thread_mutex_;  // of Start and Stop, never taken by the loop
  std::thread thread_ ABSL_GUARDED_BY(thread_mutex_);
  bool ended_ ABSL_GUARDED_BY(thread_mutex_) = false;
};

}  // namespace

std::unique_ptr<Engine> Engine::Create(const EngineOptions& options,
                                       ModelRunner* model,
                                       const Tokenizer* tokenizer,
                                       std::optional<TokenId> eos_token_id,
                                       EngineListener* listener, Clock* clock,
                                       Logger* logger, SessionStore* store) {
  return std::make_unique<ThreadedEngine>(
      options, model, tokenizer, eos_token_id, listener, clock, logger, store);
}

}  // namespace tlin
