// The threads of the block that runs, and what they wait for.
#ifndef TLIN_TESTS_CUDA_EMULATION_BLOCK_RUNNER_H_
#define TLIN_TESTS_CUDA_EMULATION_BLOCK_RUNNER_H_

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "tests/cuda_emulation/fiber.h"
#include "tests/cuda_emulation/grid.h"

namespace cuda_emulation {

// Exchanges of a warp whose results its lanes may still read.
constexpr unsigned kRingSlots = 64;

struct ExchangeRing {
  alignas(16) char slots[kRingSlots][kWarpThreads * kMaxExchangeBytes];
  unsigned next = 0;
};

struct Thread {
  enum class Status { kReady, kAtBarrier, kAtExchange, kDone };

  ThreadState state;
  Fiber fiber;
  Status status = Status::kReady;
  Location place;  // where it waits
  // At a barrier.
  int predicate = 0;
  int vote_result = 0;
  Vote vote = Vote::kCount;
  // At an exchange.
  unsigned mask = 0;
  const void* given = nullptr;
  size_t bytes = 0;
  bool orders_memory = false;
  Collective compute = nullptr;  // null: all get what was given
  const void* received = nullptr;
  // Of cp.async.
  std::deque<std::pair<int, AsyncCopy>> copies;  // by group
  int open_group = 0;
  // Places that ThreadSanitizer knows its arrivals at exchanges and departures
  // by.
  char arrival = 0;
  char departure = 0;
};

class BlockRunner {
 public:
  void RunGrid(dim3 grid, dim3 block, size_t shared_bytes,
               const std::function<void()>& body);

  Thread* running() { return running_; }
  void* shared() { return shared_.get(); }
  int Arrive(int predicate, Vote vote, const Location& where);
  const void* Exchange(unsigned mask, const void* given, size_t bytes,
                       bool orders_memory, Collective compute,
                       const Location& where);

 private:
  using Warp = std::vector<Thread*>;

  void RunBlock(uint3 index, dim3 grid, dim3 block);
  void PrepareThreads(uint3 index, dim3 grid, dim3 block);
  static void ThreadMain(void* self);
  // The next one of the warp's turn that can run, and which from now on runs;
  // null: its turn is over.
  Thread* NextOfTurn();
  // The others run until the running one, `me`, can go on.
  void Wait(Thread* me);
  // Runs each warp as far as it gets by itself, so that warps drift apart.
  bool RunWarps();
  // Lets the threads go on where all of them are at the barrier.
  void OpenBarrier();
  // The same for the lanes of an exchange that `last` has come to.
  void FinishExchange(Thread* last);
  bool AllDone() const;
  [[noreturn]] void ReportDeadlock() const;

  std::vector<std::unique_ptr<Thread>> pool_;  // reused by all blocks
  std::vector<Thread*> threads_;               // of this block
  std::vector<Warp> warps_;
  std::vector<ExchangeRing> rings_;  // one a warp
  std::unique_ptr<char, void (*)(void*)> shared_{nullptr, std::free};
  size_t shared_bytes_ = 0;
  const std::function<void()>* body_ = nullptr;
  Thread* running_ = nullptr;
  // Whose turn it is: the lanes from `turn_at_` on have not had theirs.
  const Warp* turn_ = nullptr;
  size_t turn_at_ = 0;
  std::mt19937_64 random_;
  // Places that ThreadSanitizer knows blocks' begins and ends by, and barriers:
  // while threads leave one, others come to the next.
  char begin_ = 0;
  char end_ = 0;
  char barriers_[2] = {};
  uint64_t barriers_opened_ = 0;
};

}  // namespace cuda_emulation

#endif  // TLIN_TESTS_CUDA_EMULATION_BLOCK_RUNNER_H_
