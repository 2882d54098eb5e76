// The papers' 41M model, in each architecture.
#ifndef TLIN_TESTS_TESTING_PAPER_CONFIG_H_
#define TLIN_TESTS_TESTING_PAPER_CONFIG_H_

#include "engine/model/config.h"

namespace tlin {

// TLinFormer §6: D = 432, 12 heads, windows 256 + 256, two blocks of depth 4;
// or eight layers of the baseline.
ModelConfig PaperConfig(Architecture architecture);

}  // namespace tlin

#endif  // TLIN_TESTS_TESTING_PAPER_CONFIG_H_
