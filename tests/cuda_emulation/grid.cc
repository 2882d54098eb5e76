#include "tests/cuda_emulation/grid.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/cuda_emulation/block_runner.h"
#include "tests/cuda_emulation/control.h"
#include "tests/cuda_emulation/sanitizers.h"
#include "tests/cuda_emulation/small_copy.h"

namespace cuda_emulation {

constinit thread_local const ThreadState* current_thread = nullptr;

namespace {

uint64_t grids_begun = 0;

}  // namespace

void Fault(const char* what, const Location& where) {
  std::fprintf(stderr, "cuda_emulation: %s at %s:%u in %s", what, where.file,
               where.line, where.function);
  if (current_thread != nullptr) {
    const ThreadState& at = *current_thread;
    std::fprintf(stderr, " [block %u,%u,%u thread %u,%u,%u]", at.block_index.x,
                 at.block_index.y, at.block_index.z, at.thread_index.x,
                 at.thread_index.y, at.thread_index.z);
  }
  std::fprintf(stderr, "\n");
  std::abort();
}

void HostFault(const char* what) {
  std::fprintf(stderr, "cuda_emulation: %s\n", what);
  std::abort();
}

// Of this host thread: it runs one kernel at a time.
static BlockRunner& ThisRunner() {
  static thread_local BlockRunner one;
  return one;
}

void BlockRunner::ThreadMain(void* self) {
  auto* const me = static_cast<BlockRunner*>(self);
  Acquire(&me->begin_);
  (*me->body_)();
  Thread* const thread = me->running_;
  if (!thread->copies.empty()) {
    Fault("a thread ends with an asynchronous copy that it never waited for",
          Location::current());
  }
  thread->status = Thread::Status::kDone;
  Release(&me->end_);
  Thread* const next = me->NextOfTurn();
  thread->fiber.Exit(next == nullptr ? nullptr : &next->fiber);
}

Thread* BlockRunner::NextOfTurn() {
  while (turn_at_ < turn_->size()) {
    Thread* const thread = (*turn_)[turn_at_++];
    if (thread->status != Thread::Status::kReady) continue;
    running_ = thread;
    current_thread = &thread->state;
    return thread;
  }
  return nullptr;
}

void BlockRunner::Wait(Thread* me) {
  Thread* const next = NextOfTurn();
  me->fiber.Yield(next == nullptr ? nullptr : &next->fiber);
}

void BlockRunner::PrepareThreads(uint3 index, dim3 grid, dim3 block) {
  const size_t count = size_t{block.x} * block.y * block.z;
  while (pool_.size() < count) pool_.push_back(std::make_unique<Thread>());
  const size_t warps = (count + kWarpThreads - 1) / kWarpThreads;
  if (rings_.size() < warps) rings_.resize(warps);
  threads_.clear();
  warps_.assign(warps, {});
  for (unsigned i = 0; i < count; ++i) {
    Thread* const thread = pool_[i].get();
    const uint3 position = {i % block.x, i / block.x % block.y,
                            i / (block.x * block.y)};
    thread->state = {position,         index,           block, grid, i,
                     i % kWarpThreads, i / kWarpThreads};
    thread->status = Thread::Status::kReady;
    thread->open_group = 0;
    thread->fiber.Begin(&BlockRunner::ThreadMain, this);
    threads_.push_back(thread);
    warps_[thread->state.warp].push_back(thread);
  }
  const Schedule& schedule = device_schedule();
  if (schedule.order == Schedule::Order::kDescending) {
    for (Warp& warp : warps_) std::reverse(warp.begin(), warp.end());
    std::reverse(warps_.begin(), warps_.end());
  }
}

bool BlockRunner::RunWarps() {
  if (device_schedule().order == Schedule::Order::kRandom) {
    std::shuffle(warps_.begin(), warps_.end(), random_);
    for (Warp& warp : warps_) std::shuffle(warp.begin(), warp.end(), random_);
  }
  bool any = false;
  for (const Warp& warp : warps_) {
    turn_ = &warp;
    for (;;) {
      turn_at_ = 0;
      Thread* const first = NextOfTurn();
      if (first == nullptr) break;
      first->fiber.Resume();
      any = true;
    }
  }
  current_thread = nullptr;
  return any;
}

bool BlockRunner::AllDone() const {
  return std::all_of(threads_.begin(), threads_.end(), [](const Thread* t) {
    return t->status == Thread::Status::kDone;
  });
}

void BlockRunner::RunBlock(uint3 index, dim3 grid, dim3 block) {
  Acquire(&end_);  // of the block before
  if (shared_ != nullptr) std::memset(shared_.get(), 0xff, shared_bytes_);
  PrepareThreads(index, grid, block);
  Release(&begin_);
  while (!AllDone()) {
    const bool ran = RunWarps();
    OpenBarrier();
    if (!ran && std::none_of(threads_.begin(), threads_.end(), [](Thread* t) {
          return t->status == Thread::Status::kReady;
        })) {
      ReportDeadlock();
    }
  }
}

void BlockRunner::ReportDeadlock() const {
  const Thread* waits = nullptr;
  for (const Thread* const thread : threads_) {
    if (thread->status == Thread::Status::kDone) continue;
    if (waits != nullptr && thread->status == waits->status) continue;
    waits = thread;
    std::fprintf(stderr, "cuda_emulation: thread %u waits %s at %s:%u\n",
                 thread->state.linear,
                 thread->status == Thread::Status::kAtBarrier ? "at a barrier"
                                                              : "for its warp",
                 thread->place.file, thread->place.line);
  }
  current_thread = &waits->state;
  Fault("no thread of the block can go on", waits->place);
}

void BlockRunner::RunGrid(dim3 grid, dim3 block, size_t shared_bytes,
                          const std::function<void()>& body) {
  body_ = &body;
  random_.seed(device_schedule().seed);
  // By malloc, of this very size: AddressSanitizer then sees its end.
  shared_bytes_ = shared_bytes;
  shared_.reset(shared_bytes == 0
                    ? nullptr
                    : static_cast<char*>(std::malloc(shared_bytes)));
  for (unsigned z = 0; z < grid.z; ++z) {
    for (unsigned y = 0; y < grid.y; ++y) {
      for (unsigned x = 0; x < grid.x; ++x) RunBlock({x, y, z}, grid, block);
    }
  }
  Acquire(&end_);
  shared_.reset();
}

int BlockRunner::Arrive(int predicate, Vote vote, const Location& where) {
  Thread* const me = running_;
  me->status = Thread::Status::kAtBarrier;
  me->place = where;
  me->predicate = predicate;
  me->vote = vote;
  char* const barrier = &barriers_[barriers_opened_ % 2];
  Release(barrier);
  Wait(me);
  Acquire(barrier);
  return me->vote_result;
}

void BlockRunner::OpenBarrier() {
  const Thread* first = nullptr;
  bool any_done = false;
  for (const Thread* const thread : threads_) {
    if (thread->status == Thread::Status::kDone) {
      any_done = true;
    } else if (thread->status != Thread::Status::kAtBarrier) {
      return;
    } else if (first == nullptr) {
      first = thread;
    }
  }
  if (first == nullptr) return;
  current_thread = &first->state;
  if (any_done) {
    Fault("a barrier that other threads of the block have left", first->place);
  }
  int count = 0;
  for (const Thread* const thread : threads_) {
    if (!SamePlace(thread->place, first->place)) {
      std::fprintf(stderr, "cuda_emulation: thread %u waits at %s:%u\n",
                   thread->state.linear, thread->place.file,
                   thread->place.line);
      Fault("threads of one block wait at different barriers", first->place);
    }
    count += thread->predicate != 0 ? 1 : 0;
  }
  current_thread = nullptr;
  const int all = static_cast<int>(threads_.size());
  ++barriers_opened_;
  for (Thread* const thread : threads_) {
    thread->vote_result = thread->vote == Vote::kCount ? count
                          : thread->vote == Vote::kAll ? count == all
                                                       : count > 0;
    thread->status = Thread::Status::kReady;
  }
}

const void* BlockRunner::Exchange(unsigned mask, const void* given,
                                  size_t bytes, bool orders_memory,
                                  Collective compute, const Location& where) {
  Thread* const me = running_;
  if ((mask >> me->state.lane & 1) == 0) {
    Fault("a lane that is not in its own mask", where);
  }
  me->status = Thread::Status::kAtExchange;
  me->place = where;
  me->mask = mask;
  me->given = given;
  me->bytes = bytes;
  me->orders_memory = orders_memory;
  me->compute = compute;
  if (orders_memory) Release(&me->arrival);
  FinishExchange(me);
  if (me->status != Thread::Status::kReady) Wait(me);
  if (orders_memory) Acquire(&me->departure);
  return me->received;
}

void BlockRunner::FinishExchange(Thread* last) {
  const size_t base = size_t{last->state.warp} * kWarpThreads;
  // Every lane that comes asks this. From above: those below run first, so that
  // the one that is still missing is met at once.
  for (unsigned lane = kWarpThreads; lane-- > 0;) {
    if ((last->mask >> lane & 1) == 0) continue;
    if (base + lane >= threads_.size()) {
      if (last->mask == ~0u) continue;  // the last warp is not a whole one
      Fault("a mask names a lane that the block does not have", last->place);
    }
    const Thread::Status status = pool_[base + lane]->status;
    if (status == Thread::Status::kDone) {
      Fault("a mask names a lane that has ended", last->place);
    }
    if (status != Thread::Status::kAtExchange) return;
  }
  Thread* lanes[kWarpThreads] = {};
  for (unsigned lane = 0; lane < kWarpThreads; ++lane) {
    const bool meets = (last->mask >> lane & 1) != 0;
    if (meets && base + lane < threads_.size()) {
      lanes[lane] = pool_[base + lane].get();
    }
  }
  for (const Thread* const lane : lanes) {
    if (lane == nullptr) continue;
    if (lane->mask != last->mask || lane->bytes != last->bytes ||
        !SamePlace(lane->place, last->place)) {
      std::fprintf(
          stderr, "cuda_emulation: lane %u is at %s:%u with mask %08x\n",
          lane->state.lane, lane->place.file, lane->place.line, lane->mask);
      Fault("lanes of one warp meet at different operations", last->place);
    }
  }
  if (last->orders_memory) {
    for (Thread* const lane : lanes) {
      if (lane != nullptr) Acquire(&lane->arrival);
    }
  }
  ExchangeRing& ring = rings_[last->state.warp];
  const auto next_slot = [&ring] {
    return ring.slots[ring.next++ % kRingSlots];
  };
  char* all = next_slot();
  for (unsigned lane = 0; lane < kWarpThreads; ++lane) {
    if (lanes[lane] == nullptr) continue;
    SmallCopy(all + lane * last->bytes, lanes[lane]->given, last->bytes);
  }
  if (last->compute != nullptr) {
    const char* const given = all;
    all = next_slot();
    last->compute(given, all);
  }
  for (unsigned lane = 0; lane < kWarpThreads; ++lane) {
    if (lanes[lane] == nullptr) continue;
    lanes[lane]->received = all;
    if (last->orders_memory) Release(&lanes[lane]->departure);
    lanes[lane]->status = Thread::Status::kReady;
  }
}

void RunGrid(dim3 grid, dim3 block, size_t shared_bytes,
             const std::function<void()>& body) {
  ++grids_begun;
  ThisRunner().RunGrid(grid, block, shared_bytes, body);
}

uint64_t GridsBegun() { return grids_begun; }

int BlockVote(int predicate, Vote vote, const Location& where) {
  return ThisRunner().Arrive(predicate, vote, where);
}

const void* WarpExchange(unsigned mask, const void* given, size_t bytes,
                         bool orders_memory, const Location& where) {
  return ThisRunner().Exchange(mask, given, bytes, orders_memory, nullptr,
                               where);
}

void WarpCollective(const void* given, size_t given_bytes, void* received,
                    size_t received_bytes, Collective compute,
                    const Location& where) {
  const auto* const all = static_cast<const char*>(ThisRunner().Exchange(
      ~0u, given, given_bytes, /*orders_memory=*/false, compute, where));
  SmallCopy(static_cast<char*>(received),
            all + current_thread->lane * received_bytes, received_bytes);
}

void* DynamicSharedMemory() { return ThisRunner().shared(); }

void PutAsyncCopy(const AsyncCopy& copy) {
  Thread* const me = ThisRunner().running();
  me->copies.emplace_back(me->open_group, copy);
}

void CommitAsyncCopies() { ++ThisRunner().running()->open_group; }

bool TakeAsyncCopy(int pending, AsyncCopy* copy) {
  Thread* const me = ThisRunner().running();
  if (me->copies.empty() ||
      me->copies.front().first >= me->open_group - pending) {
    return false;
  }
  *copy = me->copies.front().second;
  me->copies.pop_front();
  return true;
}

}  // namespace cuda_emulation
