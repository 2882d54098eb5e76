// Streams, events and graphs. Nothing runs when it is enqueued: a stream's work
// is done when somebody waits for it, so a wait that is missing shows.
#ifndef TLIN_TESTS_CUDA_EMULATION_STREAM_H_
#define TLIN_TESTS_CUDA_EMULATION_STREAM_H_

#include <cuda_runtime_api.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

namespace cuda_emulation {

struct Work {
  enum class Kind { kKernel, kCopy, kOther };
  Kind kind = Kind::kOther;
  std::function<void()> run;
};

struct Graph {
  std::vector<Work> work;
};

class Stream {
 public:
  explicit Stream(int priority) : priority_(priority) {}

  int priority() const { return priority_; }

  // To its end, or to the graph that is captured.
  void Enqueue(Work work);
  // All that was enqueued, in order.
  void RunAll() { RunUntil(enqueued_); }
  // The first `count` of all that was ever enqueued.
  void RunUntil(uint64_t count);
  uint64_t enqueued() const { return enqueued_; }
  uint64_t done() const { return done_; }

  // REQUIRES: !capturing() and capturing().
  void BeginCapture() { captured_ = std::make_unique<Graph>(); }
  std::unique_ptr<Graph> EndCapture() { return std::move(captured_); }
  bool capturing() const { return captured_ != nullptr; }

 private:
  const int priority_;
  std::deque<Work> queue_;
  uint64_t enqueued_ = 0;
  uint64_t done_ = 0;
  std::unique_ptr<Graph> captured_;
};

// A place in a stream. Recorded anew, it is a new place.
struct Event {
  Stream* stream = nullptr;  // null: not recorded yet
  uint64_t place = 0;
};

// A handle of the runtime's; null is the default stream.
Stream& StreamOf(cudaStream_t handle);
void RunAllStreams();

}  // namespace cuda_emulation

#endif  // TLIN_TESTS_CUDA_EMULATION_STREAM_H_
