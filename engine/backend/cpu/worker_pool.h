// The process's one set of compute threads: leaf loops only, no blocking calls
// inside. A call costs one wake-up of the workers that sleep (they spin for
// some microseconds first), one store for each thread and one atomic claim for
// each task. Each thread has a range of neighbouring tasks, so that what the
// processor fetches beyond one task's memory is of the next; who is done helps
// the others.
#ifndef TLIN_ENGINE_BACKEND_CPU_WORKER_POOL_H_
#define TLIN_ENGINE_BACKEND_CPU_WORKER_POOL_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"

namespace tlin {

// Owned by the backend. ParallelFor is called by one thread at a time (the
// engine thread), never from inside a task.
class WorkerPool {
 public:
  // Runs tasks on `threads` threads, the caller included. REQUIRES: threads >
  // 0.
  explicit WorkerPool(int threads);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  int threads() const { return threads_; }

  // task(index, worker), worker in [0, threads()): at most one task at a time
  // has a given worker number, so it may index scratch memory.
  using Task = absl::FunctionRef<void(int64_t index, int worker)>;

  // Calls task for each index in [0, tasks), and returns when all are done.
  // Does not allocate. REQUIRES: tasks < 2^31.
  void ParallelFor(int64_t tasks, Task task);

 private:
  // The tasks of one thread. High half: number of the call; low half: tasks
  // that nobody has claimed, which are the last ones. A claim is a
  // compare-and-swap on both, so a thread that slept through a call cannot take
  // a task of the next one under the old call's function.
  struct alignas(64) Range {
    std::atomic<uint64_t> state{0};
  };

  void WorkerLoop(int worker);
  void RunTasks(int worker);
  int64_t FirstTask(int64_t tasks, int range) const {
    return tasks * range / threads_;
  }

  const int threads_;
  uint32_t calls_ = 0;               // the caller's
  std::unique_ptr<Range[]> ranges_;  // [threads_]
  // Of the current call. Written only while no task is left to claim; what
  // was read between a load of a range and a claim counts only if the claim
  // succeeds.
  std::atomic<const Task*> task_{nullptr};
  std::atomic<int64_t> tasks_{0};
  std::atomic<int32_t> finished_{0};  // tasks of the current call
  std::atomic<int32_t> wake_{0};  // changes with every call; workers park here
  std::atomic<bool> stop_{false};

  std::vector<std::thread> workers_;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_BACKEND_CPU_WORKER_POOL_H_
