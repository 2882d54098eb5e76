// The products of the papers' 41M model, and random numbers to feed them.
#ifndef TLIN_TESTS_BENCH_GEMM_SHAPES_H_
#define TLIN_TESTS_BENCH_GEMM_SHAPES_H_

#include <cstdint>
#include <random>
#include <vector>

namespace tlin {

struct GemmShape {
  const char* name;
  int64_t in;
  int64_t out;
};

inline constexpr GemmShape kPaperGemms[] = {{"qkv", 432, 1296},
                                            {"out", 432, 432},
                                            {"gate_up", 432, 2560},
                                            {"down", 1280, 432},
                                            {"logits", 432, 50257}};

// Multiplications and additions of `rows` rows.
inline double GemmFlops(const GemmShape& shape, int64_t rows) {
  return 2.0 * static_cast<double>(rows * shape.in * shape.out);
}

inline std::vector<float> RandomFloats(int64_t count, uint32_t seed) {
  std::minstd_rand random(seed);
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = uniform(random);
  return values;
}

}  // namespace tlin

#endif  // TLIN_TESTS_BENCH_GEMM_SHAPES_H_
