#include "client/waiting_line.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace tlin::client {
namespace {

constexpr std::chrono::milliseconds kBetween{200};
constexpr char kClearLine[] = "\r\x1b[K";

}  // namespace

WaitingLine::WaitingLine(std::ostream* terminal,
                         std::chrono::milliseconds after)
    : terminal_(terminal), thread_([this, after] { Write(after); }) {}

WaitingLine::~WaitingLine() { Stop(); }

void WaitingLine::SetPromptTokens(int64_t tokens) {
  std::lock_guard<std::mutex> lock(mutex_);
  prompt_tokens_ = tokens;
}

void WaitingLine::Stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  stopping_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void WaitingLine::Write(std::chrono::milliseconds after) {
  const auto start = std::chrono::steady_clock::now();
  auto next = start + after;
  bool shown = false;
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stopping_.wait_until(lock, next, [this] { return stop_; })) {
    const int64_t tokens = prompt_tokens_;
    lock.unlock();
    const auto now = std::chrono::steady_clock::now();
    const double seconds = std::chrono::duration<double>(now - start).count();
    const std::string prompt =
        tokens == 0 ? "" : absl::StrCat(" (", tokens, " prompt tokens)");
    *terminal_ << kClearLine
               << absl::StrFormat("waiting for the first token%s: %.1f s",
                                  prompt, seconds)
               << std::flush;
    shown = true;
    next = now + kBetween;
    lock.lock();
  }
  if (shown) *terminal_ << kClearLine << std::flush;
}

}  // namespace tlin::client
