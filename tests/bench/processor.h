// On what a figure was measured.
#ifndef TLIN_TESTS_BENCH_PROCESSOR_H_
#define TLIN_TESTS_BENCH_PROCESSOR_H_

#include <string>

namespace tlin {

std::string ProcessorName();

// As many threads as there are cores: also what OpenMP takes.
int BenchThreads();

}  // namespace tlin

#endif  // TLIN_TESTS_BENCH_PROCESSOR_H_
