// A binary that links this counts its calls of operator new.
#ifndef TLIN_TESTS_BACKEND_ALLOCATION_COUNTER_H_
#define TLIN_TESTS_BACKEND_ALLOCATION_COUNTER_H_

#include <cstdint>

namespace tlin {

// Of the whole process so far, all threads.
int64_t AllocationCount();

}  // namespace tlin

#endif  // TLIN_TESTS_BACKEND_ALLOCATION_COUNTER_H_
