#include "engine/backend/cpu/worker_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <numeric>
#include <thread>
#include <vector>

namespace tlin {
namespace {

TEST(WorkerPoolTest, EachTaskRunsOnce) {
  for (const int threads : {1, 2, 5}) {
    WorkerPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (const int64_t tasks : {0, 1, 2, 3, 100, 1000}) {
      std::vector<int> runs(tasks);  // not atomic: the call's end is a barrier
      pool.ParallelFor(tasks, [&](int64_t index, int worker) {
        ASSERT_GE(worker, 0);
        ASSERT_LT(worker, threads);
        ++runs[index];
      });
      EXPECT_EQ(runs, std::vector<int>(tasks, 1));
    }
  }
}

// Scratch memory by worker number, results read by the next call's tasks.
TEST(WorkerPoolTest, CallsFollowEachOther) {
  WorkerPool pool(4);
  std::vector<int64_t> scratch(4);
  std::vector<int64_t> values(64, 1);
  std::vector<int64_t> next(64);
  for (int call = 0; call < 3000; ++call) {
    const int64_t tasks = 1 + call % 64;
    pool.ParallelFor(64, [&](int64_t index, int worker) {
      ++scratch[worker];
      next[index] = values[(index + 1) % 64] + values[index] % 2;
    });
    pool.ParallelFor(tasks, [&](int64_t index, int) {
      values[index] = next[63 - index] % 1000;
    });
  }
  EXPECT_EQ(std::accumulate(scratch.begin(), scratch.end(), int64_t{0}),
            3000 * 64);
}

// Workers that went to sleep wake up, and a pool that was never used, or whose
// workers sleep, can be destroyed.
TEST(WorkerPoolTest, SleepsAndWakes) {
  { WorkerPool unused(3); }
  WorkerPool pool(3);
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
    std::atomic<int> runs{0};
    std::atomic<int> others{0};
    pool.ParallelFor(30, [&](int64_t, int worker) {
      ++runs;
      if (worker != 0) ++others;
      while (others == 0) std::this_thread::yield();  // until one woke up
    });
    EXPECT_EQ(runs, 30);
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(3));
}

// The caller waits for a slow task that another thread took.
TEST(WorkerPoolTest, WaitsForTheLastTask) {
  WorkerPool pool(2);
  for (int round = 0; round < 5; ++round) {
    int slow = 0;
    int quick = 0;
    std::atomic<bool> started{false};
    pool.ParallelFor(2, [&](int64_t, int worker) {
      if (worker == 1) {
        started = true;
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
        slow = 1;
      } else {
        while (!started) std::this_thread::yield();
        quick = 1;
      }
    });
    EXPECT_EQ(slow + quick, 2);
  }
}

}  // namespace
}  // namespace tlin
