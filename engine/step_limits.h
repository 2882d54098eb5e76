// What the model's bounds and the options make of a step.
#ifndef TLIN_ENGINE_STEP_LIMITS_H_
#define TLIN_ENGINE_STEP_LIMITS_H_

#include "engine/model_runner.h"
#include "engine/options.h"
#include "engine/scheduler.h"
#include "engine/sequence.h"

namespace tlin {

// How prompts are cut: a part costs about a step's units at most, wherever it
// is in the sequence; its size depends on nothing that changes.
FillShape MakeFillShape(const EngineOptions& options, const ModelRunner& model);

StepBounds MakeStepBounds(const EngineOptions& options, const ModelInfo& info);

}  // namespace tlin

#endif  // TLIN_ENGINE_STEP_LIMITS_H_
