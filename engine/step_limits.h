// What the model's bounds and the options make of a step.
#ifndef TLIN_ENGINE_STEP_LIMITS_H_
#define TLIN_ENGINE_STEP_LIMITS_H_

#include "engine/model_runner.h"
#include "engine/scheduler.h"
#include "engine/sequence.h"

namespace tlin {

// How prompts are cut at most; the scheduler may cut them smaller.
FillShape MakeFillShape(const ModelInfo& info);

StepBounds MakeStepBounds(const ModelInfo& info);

}  // namespace tlin

#endif  // TLIN_ENGINE_STEP_LIMITS_H_
