// What a model takes of its device's memory, before anything is allocated.
#ifndef TLIN_ENGINE_MODEL_MEMORY_PLAN_H_
#define TLIN_ENGINE_MODEL_MEMORY_PLAN_H_

#include <cstdint>
#include <string>

#include "engine/backend/dtype.h"
#include "engine/model/config.h"
#include "engine/model/model.h"

namespace tlin {

// Bytes. On a GPU they are what is allocated, to the byte; on the CPU weights
// are packed, and partials padded, a little differently.
struct MemoryPlan {
  int64_t weights = 0;
  int64_t vocabulary_table = 0;
  int64_t slots = 0;
  int64_t slot_bytes = 0;  // of one
  int64_t history = 0;
  int64_t workspace = 0;  // the model's and its backend's

  int64_t total() const {
    return weights + vocabulary_table + slots * slot_bytes + history +
           workspace;
  }
  // The sum, term by term.
  std::string Text() const;
};

// `backend_workspace`: of a backend of MakeBackendShape(config, options).
MemoryPlan PlanMemory(const ModelConfig& config, const ModelOptions& options,
                      DType dtype, int64_t backend_workspace);

}  // namespace tlin

#endif  // TLIN_ENGINE_MODEL_MEMORY_PLAN_H_
