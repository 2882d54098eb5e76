// Reading memory as fast as the machine can: the limit of a decode step.
#ifndef TLIN_TESTS_BENCH_READ_MEMORY_H_
#define TLIN_TESTS_BENCH_READ_MEMORY_H_

#include <cstdint>

#include "engine/backend/cpu/aligned_buffer.h"
#include "engine/backend/cpu/worker_pool.h"

namespace tlin {

// Memory that was written: what never was is one page of zeros in the caches,
// however large. Fails the program where there is none.
AlignedBuffer WrittenMemory(int64_t bytes);

// Reads every byte once, on all threads of the pool, by the widest vectors of
// this processor. Returns a sum, so that no read can be left out. REQUIRES: a
// size of whole KiB.
uint64_t ReadMemory(const AlignedBuffer& memory, WorkerPool& pool);

}  // namespace tlin

#endif  // TLIN_TESTS_BENCH_READ_MEMORY_H_
