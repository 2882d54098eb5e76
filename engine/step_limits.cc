#include "engine/step_limits.h"

#include <algorithm>
#include <cstdint>

#include "engine/base/check.h"

namespace tlin {
namespace {

// Largest multiple of `granularity` up to `rows`, one at least.
int32_t WholeParts(int64_t rows, int32_t granularity) {
  return static_cast<int32_t>(std::max<int64_t>(rows / granularity, 1) *
                              granularity);
}

}  // namespace

FillShape MakeFillShape(const ModelInfo& info) {
  TLIN_CHECK(info.slots > 0 && info.vocab_size > 0);
  TLIN_CHECK(info.max_decode_rows > 0 && info.fill_granularity > 0);
  TLIN_CHECK(info.max_fill_rows >= info.fill_granularity);
  TLIN_CHECK(info.generation_window == 0 || info.max_syncs > 0);
  FillShape shape;
  shape.window = info.generation_window;
  shape.part_rows = WholeParts(info.max_fill_rows, info.fill_granularity);
  // Half of the rows of logits are left to those that decode meanwhile.
  shape.score_rows =
      WholeParts(std::min<int64_t>(shape.part_rows, info.max_logit_rows / 2),
                 info.fill_granularity);
  TLIN_CHECK(shape.score_rows < info.max_logit_rows);
  return shape;
}

StepBounds MakeStepBounds(const ModelInfo& info) {
  return {info.max_decode_rows, info.max_logit_rows, info.max_syncs,
          info.fill_granularity};
}

}  // namespace tlin
