// The goldens' generator of weights and tokens. MODEL: "Goldens".
#ifndef TLIN_TESTS_TESTING_SEEDED_WEIGHTS_H_
#define TLIN_TESTS_TESTING_SEEDED_WEIGHTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "engine/model/config.h"
#include "engine/model/tensor_map.h"
#include "engine/token.h"

namespace tlin {

// Tensors that own their values.
struct SeededWeights {
  TensorMap tensors;
  std::vector<std::vector<float>> values;
};

SeededWeights MakeSeededWeights(const ModelConfig& config, uint64_t seed);

std::vector<TokenId> SeededTokens(uint64_t seed, int64_t count,
                                  int32_t vocab_size);

}  // namespace tlin

#endif  // TLIN_TESTS_TESTING_SEEDED_WEIGHTS_H_
