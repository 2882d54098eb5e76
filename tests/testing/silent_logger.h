// Keeps log lines instead of writing them.
#ifndef TLIN_TESTS_TESTING_SILENT_LOGGER_H_
#define TLIN_TESTS_TESTING_SILENT_LOGGER_H_

#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "engine/base/log.h"

namespace tlin {

class SilentLogger final : public Logger {
 public:
  std::vector<std::string> lines() const {
    absl::MutexLock lock(&mutex_);
    return lines_;
  }

 protected:
  void Write(const std::string& line) override {
    absl::MutexLock lock(&mutex_);
    lines_.push_back(line);
  }

 private:
  mutable absl::Mutex mutex_;
  std::vector<std::string> lines_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tlin

#endif  // TLIN_TESTS_TESTING_SILENT_LOGGER_H_
