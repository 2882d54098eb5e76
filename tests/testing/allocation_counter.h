// A binary that uses this counts what it takes from the heap.
#ifndef TLIN_TESTS_TESTING_ALLOCATION_COUNTER_H_
#define TLIN_TESTS_TESTING_ALLOCATION_COUNTER_H_

#include <cstdint>

namespace tlin {

// Calls of operator new, of the whole process so far, all threads.
int64_t AllocationCount();

// Bytes that the process holds from malloc and its kin now, whoever asked. 0
// where the allocator does not tell (under sanitizers).
int64_t HeapBytes();

}  // namespace tlin

#endif  // TLIN_TESTS_TESTING_ALLOCATION_COUNTER_H_
