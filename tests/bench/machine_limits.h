// What this machine can do at most, measured here and now: figures are held
// against it. Products are oneDNN's, so that the yardstick is not our own.
#ifndef TLIN_TESTS_BENCH_MACHINE_LIMITS_H_
#define TLIN_TESTS_BENCH_MACHINE_LIMITS_H_

#include <cstdint>

#include "engine/backend/cpu/worker_pool.h"
#include "engine/backend/dtype.h"

namespace tlin {

// Reading `bytes` again and again: a size that a cache holds is read faster.
double ReadBytesPerSecond(int64_t bytes, WorkerPool& pool);

// oneDNN's rate in FLOP/s on the best of the 41M model's products; in f32 where
// it has no bf16.
double GemmPeak(DType dtype, int64_t rows);

// Both for the 41M model, measured when first asked for.
struct MachineLimits {
  double bytes_per_second = 0;  // reading as many bytes as the weights have
  double peak_16 = 0;           // FLOP/s at 16 rows
  double peak_256 = 0;          // FLOP/s at 256 rows
};
const MachineLimits& LimitsOf(DType dtype);

}  // namespace tlin

#endif  // TLIN_TESTS_BENCH_MACHINE_LIMITS_H_
