// Small models of every architecture and awkward shapes.
#ifndef TLIN_TESTS_TESTING_RANDOM_CONFIG_H_
#define TLIN_TESTS_TESTING_RANDOM_CONFIG_H_

#include <cstdint>

#include "engine/model/config.h"

namespace tlin {

// One block or several, depth 2 and up, unequal windows, "auto", head size 36
// among them. `seed` mod 5: 0, 2 tconstformer; 1, 3 tlinformer; 4 transformer.
ModelConfig RandomConfig(uint32_t seed);

}  // namespace tlin

#endif  // TLIN_TESTS_TESTING_RANDOM_CONFIG_H_
