#include "client/load_run.h"

#include <algorithm>
#include <chrono>

#include "client/rpc_status.h"

namespace tlin::client {
namespace {

using Clock = std::chrono::steady_clock;

// In a closed loop, a stream whose request failed waits as long as the server
// said, else this long: a server that is down must not be hammered.
constexpr absl::Duration kWaitAfterFailure = absl::Milliseconds(100);
constexpr absl::Duration kLongestWait = absl::Minutes(1);

Clock::duration Steady(absl::Duration duration) {
  return absl::ToChronoNanoseconds(duration);
}

}  // namespace

LoadRun::LoadRun(const LoadOptions& options, const LoadPrompts& prompts)
    : options_(options),
      prompts_(prompts),
      arrivals_(options.rate, options.seed),
      streams_(options.connection,
               [this](const StreamRecord& record) { OnDone(record); }) {}

LoadResult LoadRun::Run() {
  const bool open_loop = options_.rate > 0;
  start_ = last_end_ = Clock::now();
  end_ =
      options_.duration > absl::ZeroDuration()
          ? start_ + Steady(std::min(options_.duration, absl::Hours(24 * 365)))
          : SteadyTime::max();
  if (!open_loop) {
    std::lock_guard<std::mutex> lock(mutex_);
    for (int32_t i = 0; i < options_.concurrency; ++i) slots_.insert(start_);
  }
  int64_t started = 0;
  while (options_.requests == 0 || started < options_.requests) {
    // Made before its time, so that making it delays nothing.
    const v1::GenerateRequest request = prompts_.Request(started);
    const auto due = open_loop ? NextArrival() : NextSlot();
    if (!due.has_value()) break;
    streams_.Start(request, *due, options_.deadline);
    ++started;
  }
  // A stream may have started while Stop() cancelled the others.
  if (stopped()) streams_.CancelAll();
  streams_.Wait();
  result_.interrupted = stopped();
  result_.started = started;
  result_.wall = absl::FromChrono(last_end_ - start_);
  return result_;
}

void LoadRun::Stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  streams_.CancelAll();
}

bool LoadRun::stopped() {
  std::lock_guard<std::mutex> lock(mutex_);
  return stop_;
}

std::optional<SteadyTime> LoadRun::NextArrival() {
  const SteadyTime due = start_ + Steady(arrivals_.Next());
  if (due >= end_) return std::nullopt;
  std::unique_lock<std::mutex> lock(mutex_);
  if (changed_.wait_until(lock, due, [this] { return stop_; })) {
    return std::nullopt;
  }
  return due;
}

std::optional<SteadyTime> LoadRun::NextSlot() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    const SteadyTime now = Clock::now();
    if (stop_ || now >= end_) return std::nullopt;
    if (!slots_.empty() && *slots_.begin() <= now) {
      slots_.erase(slots_.begin());
      return now;
    }
    const SteadyTime wake =
        slots_.empty() ? end_ : std::min(end_, *slots_.begin());
    if (wake == SteadyTime::max()) {
      changed_.wait(lock);
    } else {
      changed_.wait_until(lock, wake);
    }
  }
}

void LoadRun::OnDone(const StreamRecord& record) {
  Count(record);
  absl::Duration pause = absl::ZeroDuration();
  if (!record.status.ok()) {
    pause = std::min(RetryDelay(record.status).value_or(kWaitAfterFailure),
                     kLongestWait);
  }
  {
    std::lock_guard<std::mutex> lock(mutex_);
    slots_.insert(record.end + Steady(pause));
  }
  changed_.notify_all();
}

void LoadRun::Count(const StreamRecord& record) {
  ++result_.outcomes[absl::StatusCodeToString(record.status.code())];
  result_.send_lag.Record(absl::FromChrono(record.sent - record.due));
  result_.prompt_tokens += record.prompt_tokens;
  result_.generated_tokens += record.generated_tokens;
  last_end_ = std::max(last_end_, record.end);
  if (!record.status.ok()) {
    result_.first_error.Update(record.status);
    return;
  }
  ++result_.ok;
  ++result_.reasons[v1::Finished::Reason_Name(record.reason)];
  result_.total.Record(absl::FromChrono(record.end - record.due));
  if (record.generated_tokens > 0) {
    result_.first_token.Record(
        absl::FromChrono(record.first_token - record.due));
  }
  for (absl::Duration gap : record.gaps) result_.inter_token.Record(gap);
}

}  // namespace tlin::client
