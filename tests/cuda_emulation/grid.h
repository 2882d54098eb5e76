// Runs a kernel: block after block, each thread a fiber. What a thread of a
// kernel calls is in include/gpu/device.h; it ends here.
#ifndef TLIN_TESTS_CUDA_EMULATION_GRID_H_
#define TLIN_TESTS_CUDA_EMULATION_GRID_H_

#include <cuda_runtime_api.h>
#include <vector_functions.h>

#include <cstddef>
#include <cstdint>
#include <functional>

#include "tests/cuda_emulation/location.h"

namespace cuda_emulation {

inline constexpr unsigned kWarpThreads = 32;
// Of one lane, at most, in an exchange of a warp's.
inline constexpr size_t kMaxExchangeBytes = 40;

// What a thread of a kernel knows of itself.
struct ThreadState {
  uint3 thread_index;
  uint3 block_index;
  dim3 block_dim;
  dim3 grid_dim;
  unsigned linear = 0;  // in its block
  unsigned lane = 0;
  unsigned warp = 0;
};

// Null outside kernels.
extern constinit thread_local const ThreadState* current_thread;

// All of `body` in each thread. REQUIRES: a configuration that CUDA allows.
void RunGrid(dim3 grid, dim3 block, size_t shared_bytes,
             const std::function<void()>& body);

// How many grids have begun to run, this one included.
uint64_t GridsBegun();

// --- For threads of a kernel. What CUDA leaves undefined (threads of a block
// that wait at different barriers or have gone, lanes that are not in the mask
// or meet at different operations) is a Fault.

enum class Vote { kCount, kAll, kAny };
int BlockVote(int predicate, Vote vote, const Location& where);

// Gives `bytes` to the lanes of `mask` and returns what all of them gave: lane
// i's begins at i * bytes. It stays until many more exchanges were made. Memory
// is put in order by __syncwarp alone (`orders_memory`), as CUDA has it.
const void* WarpExchange(unsigned mask, const void* given, size_t bytes,
                         bool orders_memory, const Location& where);

// An operation of the whole warp: `compute` gets what all lanes gave, lane
// after lane, and makes what each receives. All lanes have to come.
using Collective = void (*)(const char* given, char* received);
void WarpCollective(const void* given, size_t given_bytes, void* received,
                    size_t received_bytes, Collective compute,
                    const Location& where);

void* DynamicSharedMemory();

// cp.async, strictly: a copy is put aside, and taken when its group was waited
// for. It is the kernel's code that touches the memory (gpu/device.h).
struct AsyncCopy {
  uint32_t* to = nullptr;
  const uint32_t* from = nullptr;
  unsigned words = 0;
  bool valid = false;  // else zeros
};
void PutAsyncCopy(const AsyncCopy& copy);
void CommitAsyncCopies();
// The next of all groups but the latest `pending`. What was not committed is in
// none.
bool TakeAsyncCopy(int pending, AsyncCopy* copy);

}  // namespace cuda_emulation

#endif  // TLIN_TESTS_CUDA_EMULATION_GRID_H_
