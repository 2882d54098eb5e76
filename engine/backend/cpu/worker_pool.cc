#include "engine/backend/cpu/worker_pool.h"

#include "engine/base/check.h"
#include "hwy/cache_control.h"

namespace tlin {
namespace {

// Between the operations of a step a worker waits for about a microsecond, and
// a pause takes 20 to 60 ns: spin through that, and sleep when the step is
// over, because the processor may be shared.
constexpr int kSpins = 400;

constexpr uint64_t kUnclaimed = 0xFFFFFFFFu;

}  // namespace

WorkerPool::WorkerPool(int threads) : threads_(threads) {
  TLIN_CHECK(threads > 0);
  ranges_ = std::make_unique<Range[]>(threads);
  workers_.reserve(threads - 1);
  for (int worker = 1; worker < threads; ++worker) {
    workers_.emplace_back([this, worker] { WorkerLoop(worker); });
  }
}

WorkerPool::~WorkerPool() {
  stop_.store(true, std::memory_order_relaxed);
  wake_.fetch_add(1, std::memory_order_release);
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void WorkerPool::ParallelFor(int64_t tasks, Task task) {
  if (tasks <= 0) return;
  if (threads_ == 1 || tasks == 1) {
    for (int64_t index = 0; index < tasks; ++index) task(index, 0);
    return;
  }
  task_.store(&task, std::memory_order_relaxed);
  tasks_.store(tasks, std::memory_order_relaxed);
  finished_.store(0, std::memory_order_relaxed);
  const uint64_t call = uint64_t{++calls_} << 32;
  for (int range = 0; range < threads_; ++range) {
    const int64_t own = FirstTask(tasks, range + 1) - FirstTask(tasks, range);
    ranges_[range].state.store(call | static_cast<uint64_t>(own),
                               std::memory_order_release);
  }
  wake_.fetch_add(1, std::memory_order_release);
  wake_.notify_all();

  RunTasks(0);
  for (int spin = 0;; ++spin) {
    const int32_t finished = finished_.load(std::memory_order_acquire);
    if (finished == tasks) return;
    if (spin < kSpins) {
      hwy::Pause();
    } else {
      finished_.wait(finished, std::memory_order_acquire);
    }
  }
}

void WorkerPool::RunTasks(int worker) {
  for (int i = 0; i < threads_; ++i) {
    const int range = (worker + i) % threads_;
    std::atomic<uint64_t>& of_range = ranges_[range].state;
    uint64_t state = of_range.load(std::memory_order_acquire);
    while ((state & kUnclaimed) != 0) {
      const Task* task = task_.load(std::memory_order_relaxed);
      const int64_t tasks = tasks_.load(std::memory_order_relaxed);
      if (!of_range.compare_exchange_weak(state, state - 1,
                                          std::memory_order_acq_rel,
                                          std::memory_order_acquire)) {
        continue;
      }
      const auto unclaimed = static_cast<int64_t>(state & kUnclaimed);
      (*task)(FirstTask(tasks, range + 1) - unclaimed, worker);
      // The caller parks on this only when it waits for the last tasks, and
      // notify_all is a load when nobody does.
      if (finished_.fetch_add(1, std::memory_order_acq_rel) + 1 == tasks) {
        finished_.notify_all();
      }
      state = of_range.load(std::memory_order_acquire);
    }
  }
}

void WorkerPool::WorkerLoop(int worker) {
  int32_t seen = 0;
  while (true) {
    int32_t wake = wake_.load(std::memory_order_acquire);
    for (int spin = 0; wake == seen && spin < kSpins; ++spin) {
      hwy::Pause();
      wake = wake_.load(std::memory_order_acquire);
    }
    if (wake == seen) {
      wake_.wait(seen, std::memory_order_acquire);
      continue;
    }
    seen = wake;
    if (stop_.load(std::memory_order_relaxed)) return;
    RunTasks(worker);
  }
}

}  // namespace tlin
