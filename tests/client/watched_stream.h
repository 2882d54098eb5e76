// A stream that tells other threads what has been written to it.
#ifndef TLIN_TESTS_CLIENT_WATCHED_STREAM_H_
#define TLIN_TESTS_CLIENT_WATCHED_STREAM_H_

#include <condition_variable>
#include <mutex>
#include <ostream>
#include <streambuf>
#include <string>

namespace tlin::client {

class WatchedStream : private std::streambuf, public std::ostream {
 public:
  WatchedStream() : std::ostream(static_cast<std::streambuf*>(this)) {}

  // These two are thread-safe.
  std::string str() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return text_;
  }
  void WaitFor(const std::string& text) {
    std::unique_lock<std::mutex> lock(mutex_);
    written_.wait(lock, [&] { return text_.find(text) != std::string::npos; });
  }

  void Reset() {
    std::lock_guard<std::mutex> lock(mutex_);
    text_.clear();
  }

 private:
  std::streamsize xsputn(const char* bytes, std::streamsize count) override {
    std::lock_guard<std::mutex> lock(mutex_);
    text_.append(bytes, static_cast<size_t>(count));
    written_.notify_all();
    return count;
  }
  std::streambuf::int_type overflow(std::streambuf::int_type byte) override {
    using Traits = std::streambuf::traits_type;
    const char value = Traits::to_char_type(byte);
    xsputn(&value, 1);
    return Traits::not_eof(byte);
  }

  mutable std::mutex mutex_;
  std::condition_variable written_;
  std::string text_;  // guarded by mutex_
};

}  // namespace tlin::client

#endif  // TLIN_TESTS_CLIENT_WATCHED_STREAM_H_
